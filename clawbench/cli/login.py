"""``clawbench login``, ``logout``, ``whoami`` and ``auth headers``: a sign-in for this person's MCP clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from clawbench import credentials
from clawbench.cli.output import Json, run, show_fields, show_json
from clawbench.errors import ClawBenchError

if TYPE_CHECKING:  # the HTTP client is imported where it is needed: mostly, a header comes out of a file
    from clawbench.device_login import Prompt

Server = Annotated[
    str | None, typer.Option(help="The server's URL. May be left out by who is signed in to exactly one.")
]

auth = typer.Typer(no_args_is_help=True, help="Credentials for MCP clients.")


def login(
    server: Server = None,
    agent: Annotated[str | None, typer.Option(help="The agent name to sign in as; the page asks otherwise.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Also over http to another machine.")] = False,
) -> None:
    """Sign in with a browser, here or anywhere: prints a URL and a code, and waits."""
    from clawbench.device_login import log_in

    server = credentials.the_server(server)
    if not insecure:
        credentials.require_private_way(server)
    profile = run(log_in(server, _show, agent_name=agent))
    credentials.save_profile(profile)
    print(f"signed in to {profile.server} as {profile.agent_name}")


def logout(server: Server = None) -> None:
    """Forget the sign-in at a server, here and there."""
    from clawbench.token_client import revoke

    removed = credentials.remove_profile(credentials.the_server(server))
    if removed is None:
        print("was not signed in")
        return
    try:
        run(revoke(removed))
    except ClawBenchError as fault:
        raise type(fault)(
            f"signed out here, but {removed.server} was not told: {fault.message}",
            hint="The sign-in ends there by itself when it is not used for 30 days.",
        ) from fault
    print(f"signed out of {removed.server}")


def whoami(server: Server = None, as_json: Json = False) -> None:
    """Ask a server who this is, with the token that MCP clients get."""
    from clawbench.token_client import identity

    profile = _fresh(server)
    found = run(identity(profile))
    told = {
        "server": profile.server,
        "user": found.user,
        "agent": found.agent,
        "scopes": found.scopes,
        "token_expires_at": profile.expires_at,
    }
    show_json(told) if as_json else show_fields(told)


@auth.command()
def headers(server: Server = None) -> None:
    """Print the Authorization header as JSON, as MCP clients' header helpers want it."""
    show_json({"Authorization": f"Bearer {_fresh(server).access_token}"})


def _fresh(server: str | None) -> credentials.Profile:
    return credentials.fresh_profile(credentials.the_server(server), _renewed)


def _renewed(profile: credentials.Profile) -> credentials.Profile:
    from clawbench.token_client import renew

    return run(renew(profile))


def _show(prompt: Prompt) -> None:
    print(f"Open  {prompt.url_with_code}\nor go to {prompt.url} and enter the code  {prompt.code}", flush=True)
