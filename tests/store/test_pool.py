"""Connections: what a URL asks for, and that a lost Postgres is told as ``Unavailable`` and nothing else is."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import pytest

from clawbench.errors import Unavailable
from clawbench.store.pool import ACQUIRE_S, OpenPool, address, connect, open_pool
from tests.support.tcp import relayed


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@db.example:6543/postgres",
        "postgresql://u:p@db.example:5432/postgres?pgbouncer=true&sslmode=require",
    ],
)
def test_behind_a_transaction_pooler_no_statement_is_kept_prepared(url: str) -> None:
    to = address(url)
    assert to.prepared_statements == 0
    assert "pgbouncer" not in to.dsn
    assert ("sslmode=require" in to.dsn) == ("sslmode" in url)


def test_elsewhere_the_url_stays_as_it_is_and_statements_are_kept() -> None:
    url = "postgresql://us%40er:p%2Fw@one.example:5432,two.example:5432/postgres?sslmode=require"
    assert (address(url).dsn, address(url).prepared_statements) == (url, 100)


async def test_a_pool_without_prepared_statements_works(database_url: str) -> None:
    pool = await open_pool(f"{database_url}?pgbouncer=true")
    assert [await pool.fetchval("select $1::int", number) for number in (1, 2)] == [1, 2]
    assert await pool.fetchval("select count(*) from pg_prepared_statements") == 0
    await pool.close()


async def test_json_comes_and_goes_as_text(pool: OpenPool) -> None:
    kept = await pool.fetchrow("select $1::jsonb as b, $1::json as j", '{"a": [1, null]}')
    assert kept is not None
    assert json.loads(kept["b"]) == json.loads(kept["j"]) == {"a": [1, None]}


async def test_sessions_say_that_they_are_clawbench(pool: OpenPool) -> None:
    assert await pool.fetchval("select current_setting('application_name')") == "clawbench"


async def test_a_transaction_is_taken_back_whole_when_its_body_fails(pool: OpenPool) -> None:
    await pool.execute("create table kept (n int)")
    with pytest.raises(ZeroDivisionError):
        async with pool.acquire() as inside, inside.transaction():
            await inside.execute("insert into kept values (1)")
            _ = 1 / 0
    async with pool.acquire() as inside, inside.transaction():
        await inside.execute("insert into kept values (2)")
    assert [row["n"] for row in await pool.fetch("select n from kept")] == [2]


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        (r"127\.0\.0\.1:\d+", "127.0.0.1:1"),
        (r"127\.0\.0\.1", "no-such-host.invalid"),
        (r"(?<=:)[^/:@]+(?=@)", "wrong"),
        (r"test_\d+$", "no_such_database"),
    ],
)
async def test_a_url_that_leads_nowhere_is_unavailable(database_url: str, part: str, wrong: str) -> None:
    url = re.sub(part, wrong, database_url)
    assert url != database_url
    with pytest.raises(Unavailable, match=r"Postgres did not answer: ."):
        await open_pool(url)


async def test_a_session_ended_by_the_server_is_unavailable_and_the_next_one_works(pool: OpenPool) -> None:
    with pytest.raises(Unavailable):
        async with pool.acquire() as lost:
            await lost.fetchval("select pg_terminate_backend(pg_backend_pid())")
    async with pool.acquire() as another:
        assert await another.fetchval("select 1") == 1


async def test_a_statement_that_takes_too_long_is_unavailable(database_url: str) -> None:
    pool = await open_pool(database_url, command_timeout_s=0.05)
    with pytest.raises(Unavailable, match="TimeoutError"):
        async with pool.acquire() as slow:
            await slow.fetchval("select pg_sleep(60)")
    await pool.close()


async def test_a_session_that_falls_silent_is_unavailable_soon_and_the_next_one_works(database_url: str) -> None:
    pool = await open_pool(database_url, max_size=1, command_timeout_s=0.2)
    pid = await pool.fetchval("select pg_backend_pid()")
    os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                await pool.fetchval("select 1")
            assert await pool.fetchval("select 1") == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    await pool.close()


async def test_when_every_connection_is_busy_all_who_wait_are_told_at_the_same_time(database_url: str) -> None:
    pool = await open_pool(database_url, max_size=1)
    loop = asyncio.get_running_loop()
    async with pool.acquire():
        begun = loop.time()
        said = await asyncio.gather(*(pool.fetchval("select 1") for _ in range(100)), return_exceptions=True)
        waited = loop.time() - begun
    assert {type(each) for each in said} == {Unavailable}
    assert waited < 2 * ACQUIRE_S
    assert await pool.fetchval("select 1") == 1
    await pool.close()


async def test_a_session_whose_end_was_announced_but_has_not_come_is_unavailable_and_the_next_one_works(
    database_url: str, pool: OpenPool
) -> None:
    async with relayed(database_url) as relay:
        lost = await open_pool(relay.url, max_size=1)
        pid = await lost.fetchval("select pg_backend_pid()")
        await pool.fetchval("select pg_terminate_backend($1)", pid)
        async with asyncio.timeout(10):
            while await pool.fetchval("select exists (select from pg_stat_activity where pid = $1)", pid):
                pass
            with pytest.raises(Unavailable):
                while True:  # its last word is on its way, and nothing tells that it has come
                    await lost.fetchval("select 1")
            assert await lost.fetchval("select 1") == 1
        relay.goodbyes.set()
        await lost.close()


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("53100", id="disk full"),
        pytest.param("53200", id="out of memory"),
        pytest.param("58030", id="disk error"),
        pytest.param("57014", id="cancelled from outside"),
        pytest.param("25006", id="became a standby"),
    ],
)
async def test_what_postgres_cannot_do_just_now_is_unavailable(pool: OpenPool, code: str) -> None:
    with pytest.raises(Unavailable):
        await pool.execute(f"do $$ begin raise sqlstate '{code}'; end $$")


async def test_a_closed_pool_is_unavailable(database_url: str) -> None:
    pool = await open_pool(database_url)
    await pool.close()
    with pytest.raises(Unavailable):
        async with pool.acquire():
            pass


async def test_a_mistake_of_ours_stays_what_it_is(database_url: str) -> None:
    async with connect(database_url) as opened:
        with pytest.raises(asyncpg.UndefinedTableError):
            async with opened.transaction():
                await opened.fetchval("select * from nowhere")
    with pytest.raises(asyncpg.InterfaceError):
        async with connect(database_url) as opened:
            await opened.fetchval("select $1::int", 1, 2)
