"""``clawbench.installation``: which installation this database is."""

from __future__ import annotations

from uuid import UUID

from clawbench.store.db import Db


async def id_of(db: Db) -> UUID:
    """The id that this installation's sandboxes are labelled with."""
    return await db.fetchval("select id from clawbench.installation")


async def answers(db: Db) -> bool:
    """Whether Postgres answers, the schema is there, and a commit comes through."""
    # A word in the write-ahead log: it is committed as everything is, and no table keeps it.
    return await db.fetchval(
        "select pg_logical_emit_message(true, 'clawbench', 'well') is not null from clawbench.installation"
    )
