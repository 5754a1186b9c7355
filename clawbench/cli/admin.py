"""``clawbench admin``: people, tokens and the gate, for the operator on the host."""

from __future__ import annotations

import getpass
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer

from clawbench.cli import people
from clawbench.cli.output import DataDir, Json, operator, run, settings_for, show_json, show_rows
from clawbench.errors import NotFound
from clawbench.flows import publish
from clawbench.flows.run_views import result_of, shown
from clawbench.model.caller import OFFERED_SCOPES, Scope
from clawbench.oauth.bearer import issue_token
from clawbench.store import agents, runs, scores, users, workers
from clawbench.store.db import Pool

app = typer.Typer(no_args_is_help=True, help="What only the operator may do.")
worker = typer.Typer(no_args_is_help=True, help="Machines that do sandbox work.")
gate = typer.Typer(no_args_is_help=True, help="What is published.")
app.add_typer(gate, name="gate")
app.add_typer(worker, name="worker")
app.add_typer(people.app, name="people")

_T = TypeVar("_T")

Reason = Annotated[str, typer.Option(help="Why; kept with the run for good.")]


@app.command()
def user(name: str, admin: Annotated[bool, typer.Option("--admin")] = False, data_dir: DataDir = None) -> None:
    """Make a local account and print the one-time link where its owner sets the password."""
    token = run(_new_user(name, admin, data_dir))
    print(f"{settings_for(data_dir).origin}/setup?token={token}")


@app.command()
def token(
    agent: Annotated[str, typer.Option(help="The agent the token acts as; made for the operator if it is new.")],
    scope: Annotated[list[Scope] | None, typer.Option(help="Can be given again. Default: read and run.")] = None,
    days: Annotated[int, typer.Option(min=1, max=365)] = 30,
    data_dir: DataDir = None,
) -> None:
    """Print a bearer token for an agent."""
    print(run(_new_token(agent, scope or list(OFFERED_SCOPES), timedelta(days=days), data_dir)))


@worker.command("add")
def add_worker(name: str, data_dir: DataDir = None) -> None:
    """Print the token for a new worker: clawbench worker --server URL --token-file FILE."""
    print(run(_on_pool(data_dir, lambda pool: workers.add(pool, name))))


@worker.command("revoke")
def revoke_worker(name: str, data_dir: DataDir = None) -> None:
    """Its token stops working at once."""
    run(_on_pool(data_dir, lambda pool: workers.revoke(pool, name)))
    print(f"{name} is revoked")


@worker.command("list")
def list_workers(data_dir: DataDir = None, as_json: Json = False) -> None:
    """The standing workers, and when each last asked for work."""
    rows = run(_on_pool(data_dir, workers.listing))
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, ("name", "last_seen_at", "sites"), empty="No workers.")


@gate.command("list")
def waiting(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Scored runs that nobody approved yet."""
    rows = run(_waiting(data_dir))
    if as_json:
        show_json(rows)
    else:
        columns = ("run_id", "agent_name", "task_id", "score", "finished_at", "refused_by")
        show_rows(rows, columns, empty="Nothing waits for approval.")


@gate.command()
def show(run_id: UUID, data_dir: DataDir = None, as_json: Json = False) -> None:
    """What every gate says of a run."""
    found = run(_result(run_id, data_dir))
    show_json(found) if as_json else _show_gates(found["gates"])


@gate.command()
def approve(run_id: UUID, reason: Reason, data_dir: DataDir = None) -> None:
    """Vouch for the run's evidence; it is public if every other gate passed."""
    _show_gates(run(_approve(run_id, reason, data_dir)))
    print(f"public: {settings_for(data_dir).origin}/runs/{run_id}")


@gate.command()
def withdraw(run_id: UUID, reason: Reason, data_dir: DataDir = None) -> None:
    """Take the approval back; the run is private at once."""
    _show_gates(run(_withdraw(run_id, reason, data_dir)))
    print("private")


def _show_gates(gates: Mapping[str, str]) -> None:
    show_rows(({"gate": name, "said": said} for name, said in gates.items()), ("gate", "said"), empty="Not asked yet.")


async def _on_pool(data_dir: Path | None, act: Callable[[Pool], Awaitable[_T]]) -> _T:
    async with operator(data_dir) as deps:
        return await act(deps.pool)


async def _new_user(name: str, admin: bool, data_dir: Path | None) -> str:
    async with operator(data_dir) as deps:
        return (await users.create_user(deps.pool, name, admin=admin)).setup_token


async def _new_token(name: str, scopes: list[Scope], lifetime: timedelta, data_dir: Path | None) -> str:
    async with operator(data_dir) as deps:
        owner = await users.user_named(deps.pool, users.OPERATOR)
        if owner is None:
            owner = (await users.create_user(deps.pool, users.OPERATOR, admin=True)).user
        agent = await agents.agent_named(deps.pool, name)
        if agent is None:
            agent = await agents.create_agent(deps.pool, owner_id=owner.id, name=name)
        issued = await issue_token(
            deps.pool, agent=agent, scopes=scopes, lifetime=lifetime, resource=deps.settings.resource
        )
        return issued.text


async def _waiting(data_dir: Path | None) -> list[dict[str, Any]]:
    async with operator(data_dir) as deps:
        return await scores.waiting(deps.pool, limit=100)


async def _result(run_id: UUID, data_dir: Path | None) -> dict[str, Any]:
    async with operator(data_dir) as deps:
        found = await runs.by_id(deps.pool, run_id)
        if found is None:
            raise NotFound(f"there is no run {run_id}")
        return await result_of(deps, found)


async def _approve(run_id: UUID, reason: str, data_dir: Path | None) -> Mapping[str, str]:
    async with operator(data_dir) as deps:
        return shown(await publish.approve(deps, run_id, by=_who(), reason=reason))


async def _withdraw(run_id: UUID, reason: str, data_dir: Path | None) -> Mapping[str, str]:
    async with operator(data_dir) as deps:
        return shown(await publish.withdraw(deps, run_id, by=_who(), reason=reason))


def _who() -> str:
    return f"operator {getpass.getuser()}"
