"""Connections: the standing grants of a person under which a program can still act, as the person sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from clawbench.model.caller import Scope
from clawbench.model.client import KNOWN_CLIENTS
from clawbench.store.db import Db, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A program that a person let act as an agent."""

    grant_id: UUID
    client_name: str
    agent_name: str
    scopes: frozenset[Scope]
    created_at: datetime
    last_used_at: datetime
    """When it last got an access token."""


async def connections_of(db: Db, user_id: UUID) -> list[Connection]:
    """The programs that can act for this user now, the latest used first."""
    rows = await db.fetch(
        """
        select g.id, g.client_id, c.name as client_name, a.name as agent_name, g.scopes, g.created_at, g.last_used_at
        from clawbench.grants g
        join clawbench.agents a on a.id = g.agent_id
        left join clawbench.clients c on c.id = g.client_id
        where g.user_id = $1
            and g.revoked_at is null
            and (
                exists (select from clawbench.refresh_tokens t where t.grant_id = g.id and t.expires_at > now())
                or exists (
                    select from clawbench.access_tokens t
                    where t.grant_id = g.id and t.expires_at > now() and t.revoked_at is null
                )
            )
        order by g.last_used_at desc, g.id
        """,
        user_id,
    )
    return [_connection(row) for row in rows]


def _connection(row: Row) -> Connection:
    known = KNOWN_CLIENTS.get(row["client_id"])
    return Connection(
        grant_id=row["id"],
        client_name=known.name if known else row["client_name"],
        agent_name=row["agent_name"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
    )
