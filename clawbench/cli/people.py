"""``clawbench admin people``: who is here, who is an admin, a new link for a lost password, and the kill switch."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from clawbench.cli.output import DataDir, Json, operator, run, settings_for, show_fields, show_json, show_rows
from clawbench.errors import NotFound
from clawbench.flows.revoke_access import Ended, revoke_access
from clawbench.store import users
from clawbench.store.db import Pool
from clawbench.store.users import User

app = typer.Typer(no_args_is_help=True, help="Who is here, and who is an admin.")

_AT_MOST = 10_000


@app.command("list")
def listing(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Everybody with an account, admins first."""
    rows = run(_people(data_dir))
    if as_json:
        show_json(rows)
    else:
        show_rows(
            (
                {**row, "identities": [f"{each['issuer']} {each['subject']}" for each in row["identities"]]}
                for row in rows
            ),
            ("name", "role", "signs_in_with", "identities", "since"),
            empty="Nobody yet.",
        )


@app.command()
def promote(name: str, data_dir: DataDir = None) -> None:
    """Make a person an admin, at once."""
    print(f"{run(_promote(name, data_dir))} is an admin")


@app.command()
def demote(name: str, data_dir: DataDir = None) -> None:
    """Take the admin role, at once for sessions and tokens; somebody who can sign in must keep it."""
    print(f"{run(_demote(name, data_dir))} is no admin")


@app.command()
def link(name: str, data_dir: DataDir = None) -> None:
    """Print a new one-time setup link, for a person without a password or with a lost one; older links stop working."""
    print(f"{settings_for(data_dir).origin}/setup?token={run(_link(name, data_dir))}")


@app.command()
def revoke(name: str, data_dir: DataDir = None) -> None:
    """End a person's sessions, tokens, keys, connected programs and setup links, at once; prints how many of each.

    A password or an issuer still lets them sign in again.
    """
    show_fields(asdict(run(_revoke(name, data_dir))))


async def _people(data_dir: Path | None) -> list[dict[str, Any]]:
    async with operator(data_dir) as deps:
        return [
            {
                "name": person.user.name,
                "role": "admin" if person.user.is_admin else "member",
                "signs_in_with": [
                    way for way, has in (("password", person.has_password), ("issuer", person.identities)) if has
                ],
                "identities": [asdict(identity) for identity in person.identities],
                "since": person.created_at,
            }
            for person in await users.people(deps.pool, named="", limit=_AT_MOST)
        ]


async def _promote(name: str, data_dir: Path | None) -> str:
    async with operator(data_dir) as deps:
        user = await _named(deps.pool, name)
        await users.set_admin(deps.pool, user.id, admin=True)
        return user.name


async def _demote(name: str, data_dir: Path | None) -> str:
    async with operator(data_dir) as deps:
        user = await _named(deps.pool, name)
        await users.take_admin(deps.pool, user.id)
        return user.name


async def _link(name: str, data_dir: Path | None) -> str:
    async with operator(data_dir) as deps, deps.pool.acquire() as connection, connection.transaction():
        return await users.new_setup_link(connection, (await _named(deps.pool, name)).id)


async def _revoke(name: str, data_dir: Path | None) -> Ended:
    async with operator(data_dir) as deps:
        return await revoke_access(deps.pool, (await _named(deps.pool, name)).id)


async def _named(pool: Pool, name: str) -> User:
    user = await users.user_named(pool, name)
    if user is None:
        raise NotFound(f"there is no user {name}", hint="clawbench admin people list shows who there is.")
    return user
