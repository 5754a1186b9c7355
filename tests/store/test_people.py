"""The schema itself keeps the promises about people, agents and secrets, whatever the code above does."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import pytest

from clawbench.errors import InvalidArguments, OverCap, Refused
from clawbench.model.caller import Scope
from clawbench.model.password import hash_password, is_password
from clawbench.model.secret import USER_CODE_ALPHABET, hashed, new_secret, new_user_code, shown, typed
from clawbench.store.agents import agent_named, agents_of, archive_agent, create_agent
from clawbench.store.attempts import Limit, count_attempt, sweep_attempts, take_attempt_back
from clawbench.store.db import Pool
from clawbench.store.device_codes import approve_device_code, save_device_code, sweep_device_codes
from clawbench.store.sessions import end_sessions_of, session_with, start_session, sweep_sessions
from clawbench.store.tokens import save_token, sweep_tokens
from clawbench.store.users import create_user, set_password, user_named, user_with_id, users
from tests.sign_in_app import fresh_name, somebody

RESOURCE = "https://clawbench.test/mcp"
LIMIT = Limit(kind="user_code", tries=3, window=timedelta(minutes=10))


async def a_device_code(pool: Pool, user_code: str) -> bool:
    return await save_device_code(
        pool,
        device_code=new_secret(),
        user_code=user_code,
        client_id="clawbench-cli",
        scopes=[Scope.READ],
        resource=RESOURCE,
        proposed_agent_name=None,
    )


async def test_a_user_name_is_taken_in_every_case(pool: Pool) -> None:
    ada = (await create_user(pool, "Ada")).user
    with pytest.raises(Refused, match="taken"):
        await create_user(pool, "aDA")
    assert await user_named(pool, "ADA") == ada == await user_with_id(pool, ada.id)
    assert await users(pool) == [ada]


@pytest.mark.parametrize("name", ["", " ada", "ada ", "a\nb", "x" * 81, "a\0b"])
async def test_a_user_name_is_readable(pool: Pool, name: str) -> None:
    with pytest.raises(InvalidArguments):
        await create_user(pool, name)


async def test_of_many_who_want_an_agent_name_one_gets_it(pool: Pool) -> None:
    owner = (await create_user(pool, "ada")).user
    wanted = ["Tester_agent", "tester_agent", "TESTER_AGENT", "tester_Agent"]
    outcomes = await asyncio.gather(
        *(create_agent(pool, owner_id=owner.id, name=name) for name in wanted), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes].count(Refused) == 3
    assert len(await agents_of(pool, owner.id)) == 1


@pytest.mark.parametrize("name", ["ab", "-abc", "abc-", "a" * 41, "a b c", "naïve", "abc\n"])
async def test_an_agent_name_can_be_published(pool: Pool, name: str) -> None:
    owner = (await create_user(pool, "ada")).user
    with pytest.raises(InvalidArguments):
        await create_agent(pool, owner_id=owner.id, name=name)
    with pytest.raises(asyncpg.CheckViolationError, match="agent_name_is_publishable"):
        await pool.execute("insert into clawbench.agents (owner_id, name) values ($1, $2)", owner.id, name)


async def test_an_archived_agent_is_not_offered_and_keeps_its_name(pool: Pool) -> None:
    person = await somebody(pool)
    await archive_agent(pool, person.agent.id)
    assert await agents_of(pool, person.user.id) == []
    archived = await agent_named(pool, person.agent.name)
    assert archived is not None
    assert archived.is_archived
    with pytest.raises(Refused, match="taken"):
        await create_agent(pool, owner_id=person.user.id, name=person.agent.name)


async def test_a_password_can_only_be_stored_as_an_argon2id_hash(pool: Pool) -> None:
    person = await somebody(pool)
    with pytest.raises(asyncpg.CheckViolationError, match="password_is_stored_as_argon2"):
        await set_password(pool, person.user.id, "in the clear, by mistake")
    stored = hash_password("four quite unrelated words")
    await set_password(pool, person.user.id, stored)
    assert is_password("four quite unrelated words", stored)
    assert not is_password("four quite unrelated word", stored)
    assert not is_password("four quite unrelated words", None)


async def test_the_schema_gives_no_client_the_admin_scope(pool: Pool) -> None:
    person = await somebody(pool, admin=True)
    with pytest.raises(asyncpg.CheckViolationError, match="access_token_of_a_client_is_not_admin"):
        await save_token(
            pool,
            new_secret(),
            user_id=person.user.id,
            agent_id=person.agent.id,
            client_id="clawbench-cli",
            scopes=[Scope.ADMIN],
            resource=RESOURCE,
            lifetime=timedelta(hours=1),
        )


async def test_the_schema_lets_nobody_act_as_somebody_elses_agent(pool: Pool) -> None:
    mine, theirs = await somebody(pool), await somebody(pool)
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="access_token_acts_as_an_agent_of_its_user"):
        await save_token(
            pool,
            new_secret(),
            user_id=mine.user.id,
            agent_id=theirs.agent.id,
            client_id=None,
            scopes=[Scope.READ],
            resource=RESOURCE,
            lifetime=timedelta(hours=1),
        )
    assert await a_device_code(pool, "BCDFGHJK")
    code_id = await pool.fetchval("select id from clawbench.device_codes")
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="device_code_acts_as_an_agent_of_its_user"):
        await approve_device_code(pool, code_id, user_id=mine.user.id, agent_id=theirs.agent.id)


async def test_two_codes_that_a_person_could_mix_up_do_not_exist(pool: Pool) -> None:
    assert await a_device_code(pool, "BCDFGHJK")
    assert not await a_device_code(pool, "BCDFGHJK")
    with pytest.raises(asyncpg.CheckViolationError, match="user_code_has_no_lookalikes"):
        await a_device_code(pool, "BCDFGHJ0")


def test_a_user_code_survives_being_read_and_typed() -> None:
    code = new_user_code()
    assert set(code) <= set(USER_CODE_ALPHABET)
    assert typed(f" {shown(code).lower()} ") == code


async def test_tries_at_the_same_time_are_all_counted(pool: Pool) -> None:
    outcomes = await asyncio.gather(
        *(count_attempt(pool, LIMIT, "somebody") for _ in range(10)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes].count(OverCap) == 7
    await count_attempt(pool, LIMIT, "somebody else")


async def test_a_try_taken_back_does_not_count(pool: Pool) -> None:
    for _ in range(10):
        await count_attempt(pool, LIMIT, "somebody")
        await take_attempt_back(pool, LIMIT, "somebody")


async def test_signing_a_user_out_everywhere_leaves_others_signed_in(pool: Pool) -> None:
    mine, theirs = await somebody(pool), await somebody(pool)
    my_session, their_session = await start_session(pool, mine.user.id), await start_session(pool, theirs.user.id)
    await end_sessions_of(pool, mine.user.id)
    assert await session_with(pool, my_session) is None
    session = await session_with(pool, their_session)
    assert session is not None
    assert session.user == theirs.user


async def test_what_is_long_over_is_swept_away_and_the_rest_stays(pool: Pool) -> None:
    person = await somebody(pool)
    for age in ("40 days", "0 days"):
        token = new_secret()
        await save_token(
            pool,
            token,
            user_id=person.user.id,
            agent_id=person.agent.id,
            client_id=None,
            scopes=[Scope.READ],
            resource=RESOURCE,
            lifetime=timedelta(hours=1),
        )
        await start_session(pool, person.user.id)
        await a_device_code(pool, new_user_code())
        await count_attempt(pool, LIMIT, fresh_name("somebody"))
        for table, column in (
            ("access_tokens", "created_at = created_at - $1::text::interval, expires_at"),
            ("sessions", "expires_at"),
            ("device_codes", "expires_at"),
            ("attempts", "window_starts_at"),
        ):
            name = column.rpartition(" ")[2]
            await pool.execute(f"update clawbench.{table} set {column} = {name} - $1::text::interval", age)
    for sweep in (sweep_tokens, sweep_sessions, sweep_device_codes, sweep_attempts):
        await sweep(pool)
    for table in ("access_tokens", "sessions", "device_codes", "attempts"):
        assert await pool.fetchval(f"select count(*) from clawbench.{table}") == 1, table
    assert await pool.fetchval("select count(*) from clawbench.access_tokens where token_sha256 = $1", hashed(token))
