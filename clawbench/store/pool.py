"""Connections to Postgres, and what it means when there is none.

json and jsonb come and go as text; the module that owns the column turns it into Python. Of arrays only ``text[]``
goes: to learn of others asyncpg changes the session, and behind a transaction pooler that session is everybody's.
"""

# asyncpg has no types of its own; db.py says what we use of it.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg

from clawbench.errors import Unavailable
from clawbench.store.db import Connection, Row

APPLICATION = {"application_name": "clawbench"}

ACQUIRE_S = 5.0
STATEMENT_S = 10.0
"""No statement of ours takes as long; one that does waits for a disk or a lock."""

LOST = (
    OSError,  # refused, reset, name not found, and TimeoutError
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientResourcesError,  # connections, memory, room on the disk
    asyncpg.OperatorInterventionError,  # shutting down, starting, a statement cancelled from outside
    asyncpg.PostgresSystemError,  # its disk answers with errors
    asyncpg.ReadOnlySQLTransactionError,  # it became a standby
    asyncpg.IdleInTransactionSessionTimeoutError,
)

LAST_WORDS = ("closed", "closing", "cannot switch to state")
"""How asyncpg says that a session is over; the last, where Postgres told an idle session so and its end is to come."""


class OpenPool:
    """A pool that says ``Unavailable`` for every way in which Postgres does not answer."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def fetchrow(self, query: str, *args: object) -> Row | None:
        async with self.acquire() as connection:
            return await connection.fetchrow(query, *args)

    async def fetch(self, query: str, *args: object) -> Sequence[Row]:
        async with self.acquire() as connection:
            return await connection.fetch(query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:
        async with self.acquire() as connection:
            return await connection.fetchval(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        async with self.acquire() as connection:
            return await connection.execute(query, *args)

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncGenerator[Connection]:
        """A connection of the pool, for several statements; waits at most ``ACQUIRE_S`` for a free one."""
        with lost_connection_is_unavailable():
            async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
                yield connection

    async def close(self) -> None:
        """Wait for what is under way and close every connection."""
        await self._pool.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A URL as asyncpg takes it."""

    dsn: str
    prepared_statements: int
    """How many a connection keeps; none where a transaction pooler hands out another session each time."""


def address(url: str) -> Address:
    """Read a URL; ``pgbouncer=true`` (Prisma's spelling) and port 6543 (Supabase's) mean a transaction pooler."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    pooled = options.pop("pgbouncer", "") == "true" or parts.netloc.endswith(":6543")
    return Address(dsn=parts._replace(query=urlencode(options)).geturl(), prepared_statements=0 if pooled else 100)


async def open_pool(
    url: str, *, max_size: int = 10, connect_timeout_s: float = 10, command_timeout_s: float = STATEMENT_S
) -> OpenPool:
    """A pool with one connection made, so that a wrong URL is told at once.

    Raises:
        Unavailable: Postgres does not answer, or does not let us in.
    """
    to = address(url)
    with lost_connection_is_unavailable():
        pool: Any = await asyncpg.create_pool(
            to.dsn,
            init_size=1,
            min_size=0,  # one that was lost is made again when it is needed
            max_size=max_size,
            timeout=connect_timeout_s,
            command_timeout=command_timeout_s,
            statement_cache_size=to.prepared_statements,
            server_settings=APPLICATION,
            reset=_nothing_to_reset,
        )
    return OpenPool(pool)


async def _nothing_to_reset(connection: object) -> None:
    """We never change a session, so giving a connection back needs no round trip; asyncpg rolls back what is open."""
    del connection


@contextlib.asynccontextmanager
async def connect(url: str, *, connect_timeout_s: int = 10) -> AsyncGenerator[Connection]:
    """One connection without a limit on how long its statements take: migrations, ``listen``.

    Raises:
        Unavailable: Postgres does not answer, or does not let us in.
    """
    to = address(url)
    with lost_connection_is_unavailable():
        opened: Any = await asyncpg.connect(
            to.dsn,
            timeout=connect_timeout_s,
            statement_cache_size=to.prepared_statements,
            server_settings=APPLICATION,
        )
        try:
            yield opened
        finally:
            await opened.close(timeout=connect_timeout_s)


@contextlib.contextmanager
def lost_connection_is_unavailable() -> Generator[None]:
    """Say ``Unavailable`` for every way in which Postgres does not answer; other errors pass as they are."""
    try:
        yield
    except LOST as error:
        raise Unavailable(f"Postgres did not answer: {str(error) or type(error).__name__}") from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        if any(words in str(error) for words in LAST_WORDS):
            raise Unavailable(f"Postgres did not answer: {error}") from error
        raise
