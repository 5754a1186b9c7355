"""A Postgres of a test's own, and the ways in which it fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from clawbench.errors import Unavailable
from clawbench.store.db import Connection
from clawbench.store.embedded import server
from clawbench.store.embedded.cluster import open_cluster
from clawbench.store.pool import connect

SESSIONS = 24
"""Enough for two servers, few enough to be taken by a test."""
SEEN_WITHIN_S = 20.0

_OTHERS = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where backend_type = 'client backend' and pid <> all($1::int[])
"""
_COMMIT = "select pg_logical_emit_message(true, 'test', 'a commit')"
_WAITING = "select exists (select from pg_stat_activity where pid = $1 and wait_event = 'SyncRep')"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPostgres:
    """One that restarts by itself when it dies."""

    url: str
    directory: Path

    async def shut_down(self, how: signal.Signals) -> None:
        """SIGQUIT: at once, as after a power cut. SIGINT: fast; every session is told first, and may be idle then."""
        async with asyncio.timeout(SEEN_WITHIN_S):
            while (found := open_cluster(self.directory).postmaster()) is None or not found.ready:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        os.kill(found.pid, how)

    @contextlib.asynccontextmanager
    async def starved(self) -> AsyncGenerator[None]:
        """Every session that it has is taken by us, and those of others are ended."""
        async with contextlib.AsyncExitStack() as taken:
            first = await taken.enter_async_context(connect(self.url))
            ours = [await first.fetchval("select pg_backend_pid()")]
            async with asyncio.timeout(SEEN_WITHIN_S):
                while True:
                    try:
                        another = await taken.enter_async_context(connect(self.url))
                        ours.append(await another.fetchval("select pg_backend_pid()"))
                    except Unavailable:
                        if not await first.fetchval(_OTHERS, ours):
                            break
            yield

    @contextlib.asynccontextmanager
    async def stalled(self) -> AsyncGenerator[None]:
        """No commit comes to its end, as on a disk that hangs: each waits for a standby that does not exist."""
        async with connect(self.url) as conn, connect(self.url) as committing:
            await _set(conn, "alter system set synchronous_standby_names = 'nobody'")
            try:
                commit = await _commit_that_waits(conn, committing)
                yield
            finally:
                await _set(conn, "alter system reset synchronous_standby_names")
            await commit


@contextlib.asynccontextmanager
async def own_postgres(directory: Path) -> AsyncGenerator[OwnPostgres]:
    """A Postgres with few sessions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(server.SETTINGS, "max_connections", str(SESSIONS))
        async with server.embedded_postgres(directory, durable=False) as url:
            yield OwnPostgres(url=url, directory=directory)


async def _set(conn: Connection, how: str) -> None:
    await conn.execute(how)
    await conn.execute("select pg_reload_conf()")


async def _commit_that_waits(conn: Connection, committing: Connection) -> asyncio.Task[object]:
    """A first commit that hangs; until the setting has reached every process, they still pass."""
    pid = await committing.fetchval("select pg_backend_pid()")
    async with asyncio.timeout(SEEN_WITHIN_S):
        while True:
            commit = asyncio.ensure_future(committing.fetchval(_COMMIT))
            while not commit.done():
                if await conn.fetchval(_WAITING, pid):
                    return commit
