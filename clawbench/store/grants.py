"""Grants: what a person let a client do, as which agent; all that is handed out under one ends with it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from clawbench.model.caller import Scope
from clawbench.model.decision import Approved
from clawbench.store.db import Db


class Why(StrEnum):
    """Why a grant was revoked."""

    USER = "user"
    CLIENT = "client"
    REUSED_CODE = "reused_code"
    REUSED_REFRESH_TOKEN = "reused_refresh_token"  # noqa: S105 - a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A standing grant."""

    id: UUID
    approved: Approved
    client_id: str
    scopes: frozenset[Scope]
    resource: str


async def make_grant(db: Db, approved: Approved, *, client_id: str, scopes: Collection[Scope], resource: str) -> Grant:
    """Keep what a person approved."""
    grant_id = await db.fetchval(
        """
        insert into clawbench.grants (user_id, agent_id, client_id, scopes, resource)
        values ($1, $2, $3, $4, $5)
        returning id
        """,
        approved.user_id,
        approved.agent_id,
        client_id,
        sorted(scopes),
        resource,
    )
    return Grant(id=grant_id, approved=approved, client_id=client_id, scopes=frozenset(scopes), resource=resource)


async def revoke_grant(db: Db, grant_id: UUID, why: Why) -> bool:
    """End all that was given under a grant, at once; False if it was over already."""
    revoked = await db.fetchval(
        """
        update clawbench.grants
        set revoked_at = now(), revoked_why = $2
        where id = $1 and revoked_at is null
        returning true
        """,
        grant_id,
        why,
    )
    return revoked is True


async def revoke_grants_of(db: Db, user_id: UUID) -> int:
    """End all that was given under any grant of a user, at once; how many grants there were."""
    return await db.fetchval(
        """
        with revoked as (
            update clawbench.grants
            set revoked_at = now(), revoked_why = 'user'
            where user_id = $1 and revoked_at is null
            returning id
        )
        select count(*)
        from revoked
        """,
        user_id,
    )


async def sweep_grants(db: Db) -> None:
    """Forget grants that have given nothing for months, when nothing of theirs is left."""
    await db.execute(
        """
        delete from clawbench.grants g
        where g.last_used_at < now() - interval '90 days'
            and not exists (select from clawbench.access_tokens where grant_id = g.id)
            and not exists (select from clawbench.refresh_tokens where grant_id = g.id)
            and not exists (select from clawbench.authorizations where grant_id = g.id)
        """
    )
