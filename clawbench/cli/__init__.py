"""The command line: ``up``, ``worker``, ``doctor``, ``login``, ``mcp``, ``bench``, ``runs``, ``admin``, ``db`` …"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module

import typer

from clawbench.cli.output import told

COMMANDS: Mapping[str, str] = {
    "up": "up:up",
    "worker": "worker:worker",
    "tick": "worker:tick",
    "doctor": "doctor:doctor",
    "login": "login:login",
    "logout": "login:logout",
    "whoami": "login:whoami",
    "verify": "verify:verify",
    "auth": "login:auth",
    "mcp": "mcp:app",
    "bench": "bench:app",
    "runs": "runs:app",
    "admin": "admin:app",
    "db": "db:app",
}
"""Where each command is. Only the one that is asked for is imported: a client waits for its header helper."""


def program(named: str | None = None) -> typer.Typer:
    """The command line with the one command that is named, or with all of them."""
    app = typer.Typer(no_args_is_help=True, add_completion=False)
    app.callback()(clawbench)
    for name in COMMANDS if named is None or named not in COMMANDS else (named,):
        module, _, attribute = COMMANDS[name].partition(":")
        match getattr(import_module(f"clawbench.cli.{module}"), attribute):
            case typer.Typer() as group:
                app.add_typer(group, name=name)
            case command:
                app.command(name)(command)
    return app


def clawbench() -> None:
    """An MCP-first control plane for agent benchmarks."""


def main() -> None:
    """The ``clawbench`` program: an error of ours is one line and exit code 1."""
    with told():
        program(sys.argv[1] if len(sys.argv) > 1 else None)()
