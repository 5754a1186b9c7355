"""Authorizations: a client asks through a browser, a person decides, and the code that comes of it is redeemed once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from clawbench.model.caller import Scope
from clawbench.model.decision import Approved
from clawbench.model.secret import hashed, new_secret
from clawbench.store.db import Connection, Db

CODE_LIFETIME = timedelta(minutes=5)
SAME_MOMENT = timedelta(seconds=10)
"""A code used twice this soon is a client's own retry, refused without alarm; later it is somebody else's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """What a client asks for, and nobody has decided yet."""

    id: UUID
    client_name: str
    redirect_uri: str
    scopes: frozenset[Scope]
    state: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """An authorization code that was given to a client."""

    authorization_id: UUID
    approved: Approved
    client_id: str
    redirect_uri: str
    scopes: frozenset[Scope]
    resource: str
    code_challenge: str
    is_expired: bool
    gave: UUID | None
    """The grant that came of it; a code that has one is used up."""
    is_reused: bool
    """It was redeemed, and not just now."""


async def save_authorization(
    db: Db,
    *,
    client_id: str,
    redirect_uri: str,
    scopes: Collection[Scope],
    resource: str,
    state: str | None,
    code_challenge: str,
) -> str:
    """Remember what a client asks for; returns what leads a person to it."""
    request = new_secret()
    await db.execute(
        """
        insert into clawbench.authorizations
            (request_sha256, client_id, redirect_uri, scopes, resource, state, code_challenge)
        values ($1, $2, $3, $4, $5, $6, $7)
        """,
        hashed(request),
        client_id,
        redirect_uri,
        sorted(scopes),
        resource,
        state,
        code_challenge,
    )
    return request


async def undecided_authorization(db: Db, request: str) -> Authorization | None:
    """The request that a person may decide about now."""
    row = await db.fetchrow(
        """
        select z.id, z.redirect_uri, z.scopes, z.state, c.name as client_name
        from clawbench.authorizations z
        join clawbench.clients c on c.id = z.client_id
        where z.request_sha256 = $1 and z.approved_at is null and z.denied_at is null and z.expires_at > now()
        """,
        hashed(request),
    )
    if row is None:
        return None
    return Authorization(
        id=row["id"],
        client_name=row["client_name"],
        redirect_uri=row["redirect_uri"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        state=row["state"],
    )


async def approve_authorization(db: Db, authorization_id: UUID, *, user_id: UUID, agent_id: UUID) -> str | None:
    """Let the client act as the agent; returns its code, None if it is decided or expired by now."""
    code = new_secret()
    approved = await db.fetchval(
        """
        update clawbench.authorizations
        set approved_at = now(), user_id = $2, agent_id = $3, code_sha256 = $4
        where id = $1 and approved_at is null and denied_at is null and expires_at > now()
        returning true
        """,
        authorization_id,
        user_id,
        agent_id,
        hashed(code),
    )
    return code if approved else None


async def deny_authorization(db: Db, authorization_id: UUID, *, user_id: UUID) -> bool:
    """Refuse the client; False if the request is decided or expired by now."""
    denied = await db.fetchval(
        """
        update clawbench.authorizations
        set denied_at = now(), user_id = $2
        where id = $1 and approved_at is null and denied_at is null and expires_at > now()
        returning true
        """,
        authorization_id,
        user_id,
    )
    return denied is True


async def withdraw_approvals_of(db: Db, user_id: UUID) -> int:
    """Turn what a user approved and no client has redeemed into a no; how much that was."""
    return await db.fetchval(
        """
        with withdrawn as (
            update clawbench.authorizations
            set approved_at = null, agent_id = null, code_sha256 = null, denied_at = now()
            where user_id = $1 and approved_at is not null and redeemed_at is null
            returning id
        )
        select count(*)
        from withdrawn
        """,
        user_id,
    )


async def lock_code(connection: Connection, code: str, *, client_id: str) -> Code | None:
    """The client's code, held until the transaction ends, also when it is used up."""
    row = await connection.fetchrow(
        """
        select z.id, z.user_id, z.agent_id, z.client_id, z.redirect_uri, z.scopes, z.resource, z.code_challenge,
            z.grant_id, z.approved_at + $3::interval <= clock_timestamp() as is_expired,
            coalesce(z.redeemed_at < clock_timestamp() - $4::interval, false) as is_reused, a.name as agent_name
        from clawbench.authorizations z
        join clawbench.agents a on a.id = z.agent_id
        where z.code_sha256 = $1 and z.client_id = $2
        for no key update of z
        """,
        hashed(code),
        client_id,
        CODE_LIFETIME,
        SAME_MOMENT,
    )
    if row is None:
        return None
    return Code(
        authorization_id=row["id"],
        approved=Approved(user_id=row["user_id"], agent_id=row["agent_id"], agent_name=row["agent_name"]),
        client_id=row["client_id"],
        redirect_uri=row["redirect_uri"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        resource=row["resource"],
        code_challenge=row["code_challenge"],
        is_expired=row["is_expired"],
        gave=row["grant_id"],
        is_reused=row["is_reused"],
    )


async def redeem_code(connection: Connection, authorization_id: UUID, *, grant_id: UUID) -> None:
    """Use a locked code up for a grant."""
    await connection.execute(
        """
        update clawbench.authorizations
        set redeemed_at = clock_timestamp(), grant_id = $2
        where id = $1
        """,
        authorization_id,
        grant_id,
    )


async def sweep_authorizations(db: Db) -> None:
    """Forget requests and codes a day after they expired; until then a reused code is known."""
    await db.execute(
        """
        delete from clawbench.authorizations
        where expires_at < now() - interval '1 day'
        """
    )
