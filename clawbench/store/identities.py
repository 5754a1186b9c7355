"""Identities: the accounts that an upstream issuer vouches for."""

from __future__ import annotations

from datetime import datetime
from itertools import chain, count

from clawbench.store.db import Connection, Db, Pool
from clawbench.store.users import OPERATOR, User, user_row

_LONGEST_START = 60
"""What is left of a proposed name before a number makes it unique."""


async def user_with_identity(pool: Pool, *, issuer: str, subject: str, proposed: str) -> User:
    """The user that the issuer means, made at the first sign-in: not an admin, and under a name nobody has."""
    async with pool.acquire() as connection, connection.transaction():
        # Two first sign-ins at once make one account.
        await connection.execute("select pg_advisory_xact_lock(hashtext($1), hashtext($2))", issuer, subject)
        known = await _known(connection, issuer, subject)
        if known is not None:
            return known
        user = await _new_user(connection, proposed)
        await connection.execute(
            """
            insert into clawbench.identities (issuer, subject, user_id)
            values ($1, $2, $3)
            """,
            issuer,
            subject,
            user.id,
        )
        return user


async def now(db: Db) -> datetime:
    """What time it is, for judging what others signed."""
    return await db.fetchval("select now()")


async def _known(connection: Connection, issuer: str, subject: str) -> User | None:
    row = await connection.fetchrow(
        """
        select u.id, u.name, u.is_admin
        from clawbench.identities i
        join clawbench.users u on u.id = i.user_id
        where i.issuer = $1 and i.subject = $2
        """,
        issuer,
        subject,
    )
    return None if row is None else user_row(row)


async def _new_user(connection: Connection, proposed: str) -> User:
    start = " ".join("".join(c if c.isprintable() else " " for c in proposed).split())[:_LONGEST_START].strip()
    start = start or "person"
    first = [] if start.lower() == OPERATOR else [start]
    for name in chain(first, (f"{start}-{number}" for number in count(2))):
        row = await connection.fetchrow(
            """
            insert into clawbench.users (name)
            values ($1)
            on conflict (lower(name)) do nothing
            returning id, name, is_admin
            """,
            name,
        )
        if row is not None:
            return user_row(row)
    raise AssertionError("numbers do not end")
