"""API keys: what an agent without a browser signs in with, made by its owner and kept as its hash."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from clawbench.errors import InvalidArguments, Unavailable
from clawbench.model.caller import Caller, Scope
from clawbench.model.secret import hashed
from clawbench.store.db import Db, Row

_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key that is not revoked, as its owner sees it."""

    id: UUID
    name: str
    starts_with: str
    agent_name: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    is_expired: bool
    last_used_at: datetime | None
    """To the minute."""


async def save_key(
    db: Db,
    key: str,
    *,
    name: str,
    user_id: UUID,
    agent_id: UUID,
    scopes: Collection[Scope],
    lifetime: timedelta | None,
) -> None:
    """Make a key good, for the lifetime or until it is revoked.

    Raises:
        InvalidArguments: the name is empty, too long or not printable.
    """
    if not (0 < len(name) <= 80 and name.isprintable() and name == name.strip()):
        raise InvalidArguments("a key's name has 1 to 80 printable characters")
    await db.execute(
        """
        insert into clawbench.api_keys (key_sha256, name, starts_with, user_id, agent_id, scopes, expires_at)
        values ($1, $2, $3, $4, $5, $6, now() + $7)
        """,
        hashed(key),
        name,
        key[:_SHOWN],
        user_id,
        agent_id,
        sorted(scopes),
        lifetime,
    )


async def keys_of(db: Db, user_id: UUID) -> list[ApiKey]:
    """The user's keys that are not revoked, newest first."""
    rows = await db.fetch(
        """
        select k.id, k.name, k.starts_with, a.name as agent_name, k.scopes, k.created_at, k.expires_at,
            k.last_used_at, coalesce(k.expires_at <= now(), false) as is_expired
        from clawbench.api_keys k
        join clawbench.agents a on a.id = k.agent_id
        where k.user_id = $1 and k.revoked_at is null
        order by k.created_at desc, k.id
        """,
        user_id,
    )
    return [_key(row) for row in rows]


async def revoke_key(db: Db, key_id: UUID, *, user_id: UUID) -> bool:
    """Stop one of the user's keys at once; False if there is no such live key of theirs."""
    revoked = await db.fetchval(
        """
        update clawbench.api_keys
        set revoked_at = now()
        where id = $1 and user_id = $2 and revoked_at is null
        returning true
        """,
        key_id,
        user_id,
    )
    return revoked is True


async def revoke_keys_of(db: Db, user_id: UUID) -> int:
    """Stop every key of a user at once; how many there were."""
    return await db.fetchval(
        """
        with revoked as (
            update clawbench.api_keys
            set revoked_at = now()
            where user_id = $1 and revoked_at is null and (expires_at is null or expires_at > now())
            returning id
        )
        select count(*)
        from revoked
        """,
        user_id,
    )


async def caller_with_key(db: Db, key: str) -> Caller | None:
    """Who a key speaks for, if it is good right now."""
    row = await db.fetchrow(
        """
        select k.id, k.scopes, k.user_id, a.id as agent_id, a.name as agent_name,
            coalesce(k.last_used_at < now() - interval '1 minute', true) as is_to_be_noted
        from clawbench.api_keys k
        join clawbench.agents a on a.id = k.agent_id
        where k.key_sha256 = $1
            and k.revoked_at is null
            and (k.expires_at is null or k.expires_at > now())
            and a.archived_at is null
        """,
        hashed(key),
    )
    if row is None:
        return None
    if row["is_to_be_noted"]:
        with suppress(Unavailable):  # a key is good even where nothing can be written
            await _note_use(db, row["id"])
    return Caller(
        user_id=row["user_id"],
        agent_id=row["agent_id"],
        agent_name=row["agent_name"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
    )


async def _note_use(db: Db, key_id: UUID) -> None:
    """Write the time once a minute; of many requests at once one writes, and none waits for it."""
    await db.execute(
        """
        update clawbench.api_keys
        set last_used_at = now()
        where id = (
            select id
            from clawbench.api_keys
            where id = $1 and coalesce(last_used_at < now() - interval '1 minute', true)
            for no key update skip locked
        )
        """,
        key_id,
    )


async def sweep_keys(db: Db) -> None:
    """Forget keys a month after they were revoked or expired."""
    await db.execute(
        """
        delete from clawbench.api_keys
        where least(revoked_at, expires_at) < now() - interval '30 days'
        """
    )


def _key(row: Row) -> ApiKey:
    return ApiKey(
        id=row["id"],
        name=row["name"],
        starts_with=row["starts_with"],
        agent_name=row["agent_name"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        is_expired=row["is_expired"],
        last_used_at=row["last_used_at"],
    )
