"""Refresh tokens: each is exchanged for the next one; used again later, it ends its grant (RFC 9700 §4.14.2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from clawbench.model.caller import Scope
from clawbench.model.decision import Approved
from clawbench.model.secret import hashed
from clawbench.store.db import Connection, Db
from clawbench.store.grants import Grant

IDLE = timedelta(days=30)
GRACE = timedelta(seconds=10)
"""How long a used token still gives a pair: the processes of one person race, and an answer can be lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """A refresh token of a standing grant."""

    id: UUID
    grant: Grant
    is_reused: bool
    """It was exchanged, and not just now."""


async def save_refresh_token(db: Db, token: str, grant_id: UUID) -> None:
    """Make a token that is good until nobody uses it for 30 days."""
    await db.execute(
        """
        insert into clawbench.refresh_tokens (token_sha256, grant_id, expires_at)
        values ($1, $2, now() + $3)
        """,
        hashed(token),
        grant_id,
        IDLE,
    )


async def lock_refresh_token(connection: Connection, token: str) -> RefreshToken | None:
    """The token, held with its grant until the transaction ends; None if it is no good to anybody."""
    row = await connection.fetchrow(
        """
        select t.id, coalesce(t.rotated_at < clock_timestamp() - $2::interval, false) as is_reused,
            g.id as grant_id, g.user_id, g.agent_id, a.name as agent_name, g.client_id, g.scopes, g.resource
        from clawbench.refresh_tokens t
        join clawbench.grants g on g.id = t.grant_id
        join clawbench.agents a on a.id = g.agent_id
        where t.token_sha256 = $1
            and g.revoked_at is null
            and a.archived_at is null
            and (t.rotated_at is not null or t.expires_at > now())
        for no key update of t, g
        """,
        hashed(token),
        GRACE,
    )
    if row is None:
        return None
    grant = Grant(
        id=row["grant_id"],
        approved=Approved(user_id=row["user_id"], agent_id=row["agent_id"], agent_name=row["agent_name"]),
        client_id=row["client_id"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        resource=row["resource"],
    )
    return RefreshToken(id=row["id"], grant=grant, is_reused=row["is_reused"])


async def rotate_refresh_token(connection: Connection, refresh_token_id: UUID) -> None:
    """Use a locked token up; from its first use on, its grace runs."""
    await connection.execute(
        """
        with used as (
            update clawbench.refresh_tokens
            set rotated_at = coalesce(rotated_at, clock_timestamp())
            where id = $1
            returning grant_id
        )
        update clawbench.grants g
        set last_used_at = clock_timestamp()
        from used
        where g.id = used.grant_id
        """,
        refresh_token_id,
    )


async def sweep_refresh_tokens(db: Db) -> None:
    """Forget tokens a month after they expired; until then a reused one is known."""
    await db.execute(
        """
        delete from clawbench.refresh_tokens
        where expires_at < now() - interval '30 days'
        """
    )
