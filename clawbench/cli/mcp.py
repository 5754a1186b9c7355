"""``clawbench mcp config``: what an MCP client's own configuration needs to reach a server."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from clawbench import credentials
from clawbench.cli.login import Server
from clawbench.mcp_clients import Auth, Client, Entry, Installed, Unchanged, config_file, entry_for, install

app = typer.Typer(no_args_is_help=True, help="What MCP clients need to know of a server.")


@app.command()
def config(
    client: Client,
    server: Server = None,
    auth: Annotated[
        Auth, typer.Option(help="The client signs in by itself, or asks clawbench auth headers.")
    ] = Auth.OAUTH,
    name: Annotated[str, typer.Option(help="What the server is called there.")] = "clawbench",
    into: Annotated[bool, typer.Option("--install", help="Write it into the client's configuration.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace another entry of that name.")] = False,
) -> None:
    """Print what a client's configuration needs, or write it there."""
    url = credentials.the_server(server)
    helper = shlex.join([_own_name(), "auth", "headers", "--server", url])
    entry = entry_for(client, name, server=url, auth=auth, helper=helper)
    path = config_file(client, os.environ, Path.home())
    if not into:
        print(f"# for {path}", file=sys.stderr)
        print(entry.snippet, end="")
    else:
        match install(entry, path, force=force):
            case Installed(backup=None):
                print(f"wrote {path}")
            case Installed(backup=backup):
                print(f"changed {path}; as it was: {backup}")
            case Unchanged():
                print(f"{path} has it already")
    print(f"# then: {_then(entry, url, auth)}", file=sys.stderr)


def _own_name() -> str:
    """The program as a client finds it: by name if that leads here, otherwise by its place."""
    here, found = Path(sys.executable).with_name("clawbench"), shutil.which("clawbench")
    if not here.exists() or (found is not None and Path(found).resolve() == here.resolve()):
        return "clawbench"
    return str(here)


def _then(entry: Entry, server: str, auth: Auth) -> str:
    if auth is Auth.HEADERS:
        return f"clawbench login --server {server}"
    return {
        Client.CLAUDE: f"claude mcp login {entry.name}",
        Client.CODEX: f"codex mcp login {entry.name}",
        Client.OPENCODE: f"opencode mcp auth {entry.name}",
        Client.CURSOR: f"press Connect at {entry.name} in Cursor's MCP settings",
    }[entry.client]
