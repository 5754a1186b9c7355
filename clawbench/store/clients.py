"""Clients that registered themselves (RFC 7591): kept for good, without a secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from clawbench.model.client import KNOWN_CLIENTS, REGISTERED_GRANTS, Client
from clawbench.store.db import Db


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A client that has just registered."""

    client: Client
    created_at: datetime


async def register_client(db: Db, *, name: str, redirect_uris: Sequence[str]) -> Registered:
    """Remember a new client."""
    row = await db.fetchrow(
        """
        insert into clawbench.clients (name, redirect_uris)
        values ($1, $2)
        returning id, created_at
        """,
        name,
        redirect_uris,
    )
    assert row is not None
    client = Client(
        id=row["id"], name=name, grant_types=frozenset(REGISTERED_GRANTS), redirect_uris=tuple(redirect_uris)
    )
    return Registered(client=client, created_at=row["created_at"])


async def client_with_id(db: Db, client_id: str) -> Client | None:
    """A client that registered, or that is known without."""
    if client_id in KNOWN_CLIENTS:
        return KNOWN_CLIENTS[client_id]
    row = await db.fetchrow(
        """
        select id, name, redirect_uris
        from clawbench.clients
        where id = $1
        """,
        client_id,
    )
    if row is None:
        return None
    return Client(
        id=row["id"],
        name=row["name"],
        grant_types=frozenset(REGISTERED_GRANTS),
        redirect_uris=tuple(row["redirect_uris"]),
    )
