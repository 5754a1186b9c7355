"""API keys are good until revoked, never for more than their scopes, and using them is noted once a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import pytest

from clawbench.errors import InvalidArguments, NotAuthenticated
from clawbench.model.caller import Caller, Scope
from clawbench.model.secret import API_KEY_PREFIX, hashed, new_secret
from clawbench.oauth.bearer import authenticate
from clawbench.store.agents import archive_agent
from clawbench.store.api_keys import ApiKey, keys_of, revoke_key, save_key, sweep_keys
from clawbench.store.db import Pool
from tests.sign_in_app import Person, app_on, browser_of, somebody

_AGE = "update clawbench.api_keys set last_used_at = now() - interval '61 seconds'"


async def key_of(
    pool: Pool,
    person: Person,
    *,
    scopes: Collection[Scope] = (Scope.READ, Scope.RUN),
    lifetime: timedelta | None = None,
    name: str = "night runs",
) -> str:
    key = new_secret(API_KEY_PREFIX)
    await save_key(
        pool, key, name=name, user_id=person.user.id, agent_id=person.agent.id, scopes=scopes, lifetime=lifetime
    )
    return key


async def caller_of(pool: Pool, key: str) -> Caller:
    return await authenticate(pool, "https://any.test/mcp", f"Bearer {key}")


async def only_key(pool: Pool, person: Person) -> ApiKey:
    (key,) = await keys_of(pool, person.user.id)
    return key


async def test_a_key_speaks_for_its_agent_with_its_scopes(pool: Pool) -> None:
    person = await somebody(pool)
    caller = await caller_of(pool, await key_of(pool, person, scopes=[Scope.READ]))
    assert (caller.user_id, caller.agent_id, caller.agent_name) == (
        person.user.id,
        person.agent.id,
        person.agent.name,
    )
    assert caller.scopes == {Scope.READ}


async def test_a_key_opens_the_door_of_mcp(pool: Pool) -> None:
    person = await somebody(pool)
    key = await key_of(pool, person)
    async with browser_of(app_on(pool)) as client:
        good = await client.get("/mcp", headers={"Authorization": f"Bearer {key}"})
        bad = await client.get("/mcp", headers={"Authorization": f"Bearer {key}x"})
    assert (good.status_code, good.json()["agent"]) == (200, person.agent.name)
    assert bad.status_code == 401
    assert key not in bad.text


async def test_only_a_keys_hash_and_first_characters_are_stored(pool: Pool) -> None:
    key = await key_of(pool, await somebody(pool))
    stored = await pool.fetchval("select k::text from clawbench.api_keys k where key_sha256 = $1", hashed(key))
    assert key[:8] in stored
    assert key[:10] not in stored


async def test_a_revoked_key_stops_at_once_and_only_its_owner_revokes_it(pool: Pool) -> None:
    mine, theirs = await somebody(pool), await somebody(pool)
    key = await key_of(pool, mine)
    listed = await only_key(pool, mine)
    assert not await revoke_key(pool, listed.id, user_id=theirs.user.id)
    assert (await caller_of(pool, key)).user_id == mine.user.id
    assert await revoke_key(pool, listed.id, user_id=mine.user.id)
    assert not await revoke_key(pool, listed.id, user_id=mine.user.id)
    with pytest.raises(NotAuthenticated):
        await caller_of(pool, key)
    assert await keys_of(pool, mine.user.id) == []


async def test_an_expired_key_stops_and_is_listed_as_expired(pool: Pool) -> None:
    person = await somebody(pool)
    key = await key_of(pool, person, lifetime=timedelta(days=30))
    assert not (await only_key(pool, person)).is_expired
    await pool.execute(
        "update clawbench.api_keys set created_at = now() - interval '31 days', expires_at = now() - interval '1 s'"
    )
    with pytest.raises(NotAuthenticated):
        await caller_of(pool, key)
    assert (await only_key(pool, person)).is_expired


async def test_an_archived_agents_keys_stop(pool: Pool) -> None:
    person = await somebody(pool)
    key = await key_of(pool, person)
    await archive_agent(pool, person.agent.id)
    with pytest.raises(NotAuthenticated):
        await caller_of(pool, key)


async def test_no_key_has_the_admin_scope_whoever_owns_it(pool: Pool) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="api_key_scopes_are_offered"):
        await key_of(pool, await somebody(pool, admin=True), scopes=[Scope.READ, Scope.ADMIN])


async def test_no_key_acts_as_somebody_elses_agent(pool: Pool) -> None:
    mine, theirs = await somebody(pool), await somebody(pool)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await key_of(pool, Person(user=mine.user, agent=theirs.agent, setup_token=""))


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 81])
async def test_a_key_has_a_name_that_can_be_read(pool: Pool, name: str) -> None:
    with pytest.raises(InvalidArguments):
        await key_of(pool, await somebody(pool), name=name)


async def test_use_is_noted_once_a_minute(pool: Pool) -> None:
    person = await somebody(pool)
    key = await key_of(pool, person)
    assert (await only_key(pool, person)).last_used_at is None
    await caller_of(pool, key)
    first = (await only_key(pool, person)).last_used_at
    assert first is not None
    await caller_of(pool, key)
    assert (await only_key(pool, person)).last_used_at == first
    await pool.execute(_AGE)
    await caller_of(pool, key)
    last = (await only_key(pool, person)).last_used_at
    assert last is not None and last > first


async def test_of_many_requests_at_once_one_writes(pool: Pool) -> None:
    key = await key_of(pool, await somebody(pool))
    await pool.execute("create table public.writes (at timestamptz)")
    await pool.execute(
        """
        create function public.count_a_write() returns trigger language plpgsql as
        'begin insert into public.writes values (now()); return null; end'
        """
    )
    await pool.execute(
        "create trigger counted after update on clawbench.api_keys for each row execute function public.count_a_write()"
    )
    await asyncio.gather(*(caller_of(pool, key) for _ in range(40)))
    assert await pool.fetchval("select count(*) from public.writes") == 1


async def test_a_request_does_not_wait_for_another_that_notes_the_use(pool: Pool) -> None:
    key = await key_of(pool, await somebody(pool))
    async with pool.acquire() as other, other.transaction():
        await other.execute("update clawbench.api_keys set last_used_at = null")
        async with asyncio.timeout(5):
            await caller_of(pool, key)


async def test_the_check_is_one_read_of_an_index(pool: Pool) -> None:
    person = await somebody(pool)
    await pool.execute(
        """
        insert into clawbench.api_keys (key_sha256, name, starts_with, user_id, agent_id, scopes)
        select sha256(convert_to(n::text, 'UTF8')), 'many', 'cbk_', $1, $2, '{clawbench:read}'
        from generate_series(1, 5000) n
        """,
        person.user.id,
        person.agent.id,
    )
    await pool.execute("analyze clawbench.api_keys")
    plan = await pool.fetch("explain select id from clawbench.api_keys where key_sha256 = sha256('x')")
    assert any("api_keys_by_hash" in row["QUERY PLAN"] for row in plan), plan


async def test_keys_are_forgotten_a_month_after_they_ended(pool: Pool) -> None:
    person = await somebody(pool)
    for _ in range(3):
        await key_of(pool, person)
    kept, ended, _ = await keys_of(pool, person.user.id)
    await revoke_key(pool, ended.id, user_id=person.user.id)
    await sweep_keys(pool)
    assert await pool.fetchval("select count(*) from clawbench.api_keys") == 3
    await pool.execute("update clawbench.api_keys set revoked_at = now() - interval '31 days' where id = $1", ended.id)
    await sweep_keys(pool)
    assert await pool.fetchval("select count(*) from clawbench.api_keys") == 2
    assert kept.id in {key.id for key in await keys_of(pool, person.user.id)}
