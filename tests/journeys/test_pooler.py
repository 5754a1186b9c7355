"""Two servers over one database, one of them through a transaction pooler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from mcp_types import CallToolResult
from pytest_asyncio import fixture as async_fixture

from clawbench.store import installation as row
from clawbench.store.db import Connection, Row
from clawbench.store.pool import connect
from tests.support.client import fresh_id, signed_in, text_of
from tests.support.engine import left_of, remove_containers_of
from tests.support.pooler import CANNOT_BE_HAD, can_be_had, transaction_pooler
from tests.support.process import Installation
from tests.support.tasks import write_task

pytestmark = pytest.mark.skipif(not can_be_had(), reason=CANNOT_BE_HAD)

SESSIONS = 4
AT_ONCE = 24

_LEFT_BEHIND = """
select pg_backend_pid() as pid,
  (select count(*) from pg_prepared_statements) as statements,
  (select count(*) from pg_listening_channels()) as channels,
  (select count(*) from pg_locks where locktype = 'advisory') as locks,
  array(select name from pg_settings where source = 'session' and name <> all($1::text[])) as settings
"""
_POOLERS_OWN = ["application_name", "client_encoding", "DateStyle", "standard_conforming_strings", "TimeZone"]
"""What pgbouncer itself sets for each client that it lends a session to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two servers of one installation."""

    pooled_url: str
    pooled: Installation
    direct: Installation
    token: str


@async_fixture
async def pair(open_dir: Path, empty_database_url: str) -> AsyncGenerator[Pair]:
    """Both begin at once, on a database with nothing in it."""
    home = open_dir / "pooler"
    home.mkdir()
    async with transaction_pooler(empty_database_url, home, sessions=SESSIONS) as pooled_url:
        caps = {"CLAWBENCH_CALLS_IN_FLIGHT": str(2 * AT_ONCE)}
        pooled = Installation(directory=open_dir / "pooled", more={**caps, "DATABASE_URL": pooled_url})
        here = {"CLAWBENCH_PUBLIC_URL": pooled.url, "DATABASE_URL": empty_database_url}
        direct = Installation(directory=pooled.directory, more={**caps, **here})
        try:
            await asyncio.gather(pooled.up(), direct.up())
            async with connect(empty_database_url) as conn:
                instance = str(await row.id_of(conn))
            try:
                await pooled.ok("bench", "import", str(write_task(open_dir / "pooled-tasks", "answer")))
                token = (await pooled.ok("admin", "token", "--agent", "Tester_agent")).strip()
                yield Pair(pooled_url=pooled_url, pooled=pooled, direct=direct, token=token)
                await pooled.ok("tick")
                assert await left_of(instance) == []
            finally:
                await remove_containers_of(instance)
        finally:
            await pooled.kill()
            await direct.kill()


async def test_a_server_behind_a_transaction_pooler_and_one_that_is_not_do_one_run_together(pair: Pair) -> None:
    async with signed_in(pair.pooled.url, pair.token) as pooled, signed_in(pair.direct.url, pair.token) as direct:
        both = (pooled, direct)
        start = {"benchmark": "terminal-bench", "task_id": "answer", "client_call_id": fresh_id()}
        started = await asyncio.gather(*(agent.call("start_run", **start) for agent in both * 2))
        run_id = started[0]["run_id"]
        assert started == [started[0]] * 4

        calls = [
            {"run_id": run_id, "client_call_id": f"c{n}", "command": f"echo c{n} >>effects; echo c{n}"}
            for n in range(AT_ONCE)
        ]
        storm = [agent.deliver("run_command", **call) for call in calls for agent in both]
        looks = [agent.deliver(tool, **more) for tool, more in _looks(run_id) for agent in both for _ in range(10)]
        said = await asyncio.gather(*storm, *looks)
        assert [each for each in said if each.is_error] == []
        _same_from_both(said[: len(storm)])
        assert sorted((await direct.run(run_id, "cat effects"))["stdout"].split()) == sorted(
            call["client_call_id"] for call in calls
        )

        conflict = {**calls[0], "command": "echo something else >>effects"}
        assert {(await agent.refused("run_command", **conflict))["code"] for agent in both} == {"call_id_conflict"}

        await pooled.run(run_id, "echo 42 >answer")
        end = {"run_id": run_id, "client_call_id": fresh_id()}
        finished = await asyncio.gather(*(agent.deliver("finalize_run", **end) for agent in both))
        _same_from_both(finished)
        assert (await pooled.call("finalize_run", **end))["score"] == 1
        _same_from_both([await agent.deliver("run_command", **calls[0]) for agent in both])

    for server in (pair.pooled, pair.direct):
        assert "Traceback" not in server.log.read_text()
    for session in await _sessions(pair.pooled_url):
        assert dict(session) == {**dict(session), "statements": 0, "channels": 0, "locks": 0, "settings": []}


def _looks(run_id: str) -> tuple[tuple[str, dict[str, str]], ...]:
    return (("resume_run", {"run_id": run_id}), ("list_runs", {}), ("list_tasks", {"benchmark": "terminal-bench"}))


def _same_from_both(said: list[CallToolResult]) -> None:
    for first, second in zip(said[::2], said[1::2], strict=True):
        assert text_of(first) == text_of(second)


async def _sessions(pooled_url: str) -> list[Row]:
    """What each session of the pooler still has from those it was lent to; all are held at once to see every one."""
    async with AsyncExitStack() as held:
        found = list[Row]()
        for _ in range(SESSIONS):
            conn: Connection = await held.enter_async_context(connect(pooled_url))
            await held.enter_async_context(conn.transaction())
            found.append(cast("Row", await conn.fetchrow(_LEFT_BEHIND, _POOLERS_OWN)))
        assert len({session["pid"] for session in found}) == SESSIONS
        return found
