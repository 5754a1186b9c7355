"""What the database itself shows to Supabase's roles: nothing that a forgotten ``where`` could leak."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import pytest

from clawbench.model.run import RunStatus
from clawbench.store import calls
from clawbench.store.db import Connection, Pool
from clawbench.store.pool import OpenPool
from tests.sign_in_app import fresh_name
from tests.support.client import fresh_id
from tests.support.rows import Row, a_run

ISSUER = "https://people.test/auth/v1"
OWN = {"users", "agents", "runs", "calls", "scores", "gate_results"}
VIEWS = {"public_leaderboard", "public_runs"}


async def relations(pool: Pool, kinds: str) -> set[str]:
    rows = await pool.fetch(
        """
        select relname from pg_class
        where relnamespace = 'clawbench'::regnamespace and relkind = any(string_to_array($1, null))
        """,
        kinds,
    )
    return {row["relname"] for row in rows}


@contextlib.asynccontextmanager
async def acting(pool: OpenPool, role: str, claims: dict[str, str] | None = None) -> AsyncGenerator[Connection]:
    """A connection as Supabase's API has one for a request: the role, and the claims of its JWT."""
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute(f"set local role {role}")
        if claims is not None:
            await conn.fetchval("select set_config('request.jwt.claims', $1, true)", json.dumps(claims))
        yield conn


async def refused(pool: OpenPool, role: str, claims: dict[str, str] | None, statement: str) -> bool:
    try:
        async with acting(pool, role, claims) as conn:
            await conn.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    return False


async def columns(conn: Connection, table: str) -> str:
    """What this role may see of a table."""
    rows = await conn.fetch(
        """
        select attname from pg_attribute
        where attrelid = ('clawbench.' || $1)::regclass and attnum > 0 and not attisdropped
          and has_column_privilege(attrelid, attnum, 'select')
        """,
        table,
    )
    return ", ".join(row["attname"] for row in rows)


async def signed_in_owner(pool: Pool) -> tuple[Row, dict[str, str]]:
    """Somebody with a run, a call, a score and a gate's word, and the claims they sign in with."""
    row, subject = await a_run(pool), fresh_name("subject")
    await pool.execute(
        "insert into clawbench.identities (issuer, subject, user_id) values ($1, $2, $3)", ISSUER, subject, row.user_id
    )
    await calls.claim(
        pool,
        run_id=row.run_id,
        user_id=row.user_id,
        client_call_id=fresh_id(),
        tool="run_command",
        arguments={},
        accepting=frozenset({RunStatus.RUNNING}),
        in_flight_limit=9,
        exempt_from_caps=False,
        places=None,
    )
    await pool.execute(
        "insert into clawbench.scores (run_id, value, passed, scorer, details) values ($1, 1, true, 's', '{}')",
        row.run_id,
    )
    await pool.execute(
        """
        insert into clawbench.gate_results (run_id, gate, passed, reason, evidence_head)
        values ($1, 'in_catalog', true, '', '')
        """,
        row.run_id,
    )
    return row, {"iss": ISSUER, "sub": subject, "role": "authenticated"}


@pytest.mark.promise("rows-of-their-own")
async def test_a_signed_in_person_sees_their_own_rows_whatever_the_query_forgets(pool: OpenPool) -> None:
    mine, claims = await signed_in_owner(pool)
    await signed_in_owner(pool)

    async with acting(pool, "authenticated", claims) as conn:
        seen = {table: await conn.fetch(f"select {await columns(conn, table)} from clawbench.{table}") for table in OWN}

    assert {table: len(rows) for table, rows in seen.items()} == dict.fromkeys(OWN, 1)
    assert seen["users"][0]["id"] == mine.user_id
    assert seen["agents"][0]["id"] == mine.person.agent.id
    assert seen["runs"][0]["id"] == mine.run_id
    assert {seen[table][0]["run_id"] for table in ("calls", "scores", "gate_results")} == {mine.run_id}


@pytest.mark.parametrize(
    "claims", [None, {}, {"iss": ISSUER, "sub": "nobody"}, {"iss": "https://other.test", "sub": "subject"}]
)
async def test_whoever_is_not_known_sees_no_row(pool: OpenPool, claims: dict[str, str] | None) -> None:
    await signed_in_owner(pool)

    async with acting(pool, "authenticated", claims) as conn:
        seen = [len(await conn.fetch(f"select {await columns(conn, table)} from clawbench.{table}")) for table in OWN]

    assert seen == [0] * len(OWN)


async def test_every_other_table_is_closed_and_nothing_can_be_written(pool: OpenPool) -> None:
    _, claims = await signed_in_owner(pool)
    tables = await relations(pool, "rp")
    assert tables > OWN
    for role, open_tables in (("anon", set[str]()), ("authenticated", OWN)):
        for table in tables:
            readable = not await refused(pool, role, claims, f"select 1 from clawbench.{table}")
            assert readable == (table in open_tables), f"{role} and {table}"
            for statement in (
                f"delete from clawbench.{table}",
                f"insert into clawbench.{table} default values",
                f"truncate clawbench.{table}",
                f"lock clawbench.{table} in row exclusive mode",
            ):
                assert await refused(pool, role, claims, statement), f"{role}: {statement}"


async def test_a_sandboxs_handle_a_passwords_hash_and_a_scorers_details_are_nobodys_to_see(pool: OpenPool) -> None:
    _, claims = await signed_in_owner(pool)
    for column in ("runs.sandbox", "users.password_hash", "scores.details", "calls.lease_epoch"):
        table, name = column.split(".")
        assert await refused(pool, "authenticated", claims, f"select {name} from clawbench.{table}"), column


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_published_rows_are_read_through_the_views(pool: OpenPool, role: str) -> None:
    assert await relations(pool, "vm") == VIEWS
    for view in VIEWS:
        assert not await refused(pool, role, None, f"select * from clawbench.{view}")
        assert await refused(pool, role, None, f"delete from clawbench.{view}")
