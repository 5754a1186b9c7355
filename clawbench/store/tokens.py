"""Access tokens: opaque, kept as their hash, bound to one resource and one agent of one user."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from clawbench.model.caller import Caller, Scope
from clawbench.model.secret import hashed
from clawbench.store.db import Db


async def save_token(
    db: Db,
    token: str,
    *,
    user_id: UUID,
    agent_id: UUID,
    client_id: str | None,
    scopes: Collection[Scope],
    resource: str,
    lifetime: timedelta,
    grant_id: UUID | None = None,
) -> datetime:
    """Make a token good until the time returned; an operator's has neither client nor grant."""
    return await db.fetchval(
        """
        insert into clawbench.access_tokens
            (token_sha256, user_id, agent_id, client_id, scopes, resource, expires_at, grant_id)
        values ($1, $2, $3, $4, $5, $6, now() + $7, $8)
        returning expires_at
        """,
        hashed(token),
        user_id,
        agent_id,
        client_id,
        sorted(scopes),
        resource,
        lifetime,
        grant_id,
    )


async def caller_with(db: Db, token: str, *, resource: str) -> Caller | None:
    """Who a token speaks for, if it and the grant it was given under are good for this resource right now.

    The admin scope counts only while the user is an admin.
    """
    row = await db.fetchrow(
        """
        select t.scopes, u.id as user_id, u.is_admin, a.id as agent_id, a.name as agent_name
        from clawbench.access_tokens t
        join clawbench.users u on u.id = t.user_id
        join clawbench.agents a on a.id = t.agent_id
        left join clawbench.grants g on g.id = t.grant_id
        where t.token_sha256 = $1
            and t.revoked_at is null
            and g.revoked_at is null
            and t.expires_at > now()
            and t.resource = $2
            and a.archived_at is null
        """,
        hashed(token),
        resource,
    )
    if row is None:
        return None
    scopes = frozenset(Scope(scope) for scope in row["scopes"])
    return Caller(
        user_id=row["user_id"],
        agent_id=row["agent_id"],
        agent_name=row["agent_name"],
        scopes=scopes if row["is_admin"] else scopes - {Scope.ADMIN},
    )


async def client_of_token(db: Db, token: str) -> str | None:
    """The client that was given a token; None also if an operator issued it."""
    return await db.fetchval(
        """
        select client_id
        from clawbench.access_tokens
        where token_sha256 = $1
        """,
        hashed(token),
    )


async def revoke_token(db: Db, token: str) -> bool:
    """Stop one token at once; False if there is no such live token."""
    found = await db.fetchval(
        """
        update clawbench.access_tokens
        set revoked_at = now()
        where token_sha256 = $1 and revoked_at is null
        returning true
        """,
        hashed(token),
    )
    return found is True


async def revoke_tokens_of(db: Db, user_id: UUID) -> int:
    """Stop every access token of a user at once; how many there were."""
    return await db.fetchval(
        """
        with revoked as (
            update clawbench.access_tokens
            set revoked_at = now()
            where user_id = $1 and revoked_at is null and expires_at > now()
            returning id
        )
        select count(*)
        from revoked
        """,
        user_id,
    )


async def sweep_tokens(db: Db) -> None:
    """Forget tokens a month after they expired."""
    await db.execute(
        """
        delete from clawbench.access_tokens
        where expires_at < now() - interval '30 days'
        """
    )
