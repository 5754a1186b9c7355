"""Calls that wait for a worker are taken fairly, once, and only where they can be done."""

from __future__ import annotations

import asyncio

import pytest

from clawbench.model.call import Fresh
from clawbench.model.run import RunStatus
from clawbench.model.work import CallJob, Places
from clawbench.store import calls
from clawbench.store.pool import OpenPool
from tests.support.client import fresh_id
from tests.support.rows import Row, a_run

HERE = Places(sites=("here",), providers=("docker",))
ELSEWHERE = Places(sites=("elsewhere",), providers=("other",))
NOWHERE = Places(sites=(), providers=())


async def waiting(pool: OpenPool, row: Row) -> str:
    """A call that no worker has begun; its id."""
    call_id = fresh_id()
    claim = await calls.claim(
        pool,
        run_id=row.run_id,
        user_id=row.user_id,
        client_call_id=call_id,
        tool="run_command",
        arguments={"command": "true"},
        accepting=frozenset({RunStatus.RUNNING}),
        in_flight_limit=100,
        exempt_from_caps=False,
        places=NOWHERE,
    )
    assert isinstance(claim, Fresh)
    assert not claim.here
    return call_id


async def take(pool: OpenPool, places: Places = HERE, *, limit: int = 100) -> list[CallJob]:
    return await calls.take(pool, places, ("run_command",), (), limit=limit)


@pytest.mark.promise("turns")
async def test_an_owners_hundred_calls_do_not_stand_before_anothers_first(pool: OpenPool) -> None:
    many, one = await a_run(pool), await a_run(pool)
    for _ in range(10):
        await waiting(pool, many)
    late = await waiting(pool, one)

    first_two = await take(pool, limit=2)

    assert late in {job.call_id for job in first_two}


async def test_what_is_being_worked_on_counts_as_an_owners_turn(pool: OpenPool) -> None:
    busy, idle = await a_run(pool), await a_run(pool)
    await waiting(pool, busy)
    await take(pool)
    await waiting(pool, busy)
    later = await waiting(pool, idle)

    (next_one,) = await take(pool, limit=1)

    assert next_one.call_id == later


@pytest.mark.promise("turns")
async def test_of_one_owners_calls_those_of_the_run_with_the_higher_priority_come_first(pool: OpenPool) -> None:
    ordinary = await a_run(pool)
    urgent = await a_run(pool, priority=1, owner=ordinary.person)
    other = await a_run(pool)
    early, others = await waiting(pool, ordinary), await waiting(pool, other)
    late = [await waiting(pool, urgent) for _ in range(2)]

    first_two = {job.call_id for job in await take(pool, limit=2)}

    assert first_two == {late[0], others}, "priority orders an owner's own calls, not the turns of owners"
    assert early in {job.call_id for job in await take(pool)}


async def test_two_workers_never_get_the_same_call(pool: OpenPool) -> None:
    row = await a_run(pool)
    ids = [await waiting(pool, row) for _ in range(20)]

    taken = await asyncio.gather(*(take(pool, limit=7) for _ in range(5)))

    got = [job.call_id for jobs in taken for job in jobs]
    assert len(got) == len(set(got))
    got += [job.call_id for job in await take(pool)]
    assert sorted(got) == sorted(ids)


async def test_a_worker_gets_only_what_it_can_reach(pool: OpenPool) -> None:
    await waiting(pool, await a_run(pool))

    assert await take(pool, ELSEWHERE) == []
    assert len(await take(pool, HERE)) == 1


async def test_a_call_under_a_lease_is_nobody_elses_until_it_passes(pool: OpenPool) -> None:
    row = await a_run(pool)
    await waiting(pool, row)
    (first,) = await take(pool)
    assert await take(pool) == []

    await pool.execute("update clawbench.calls set lease_until = now() - interval '1 second'")
    (second,) = await take(pool)

    assert second.call_id == first.call_id
    assert second.lease.epoch == first.lease.epoch + 1
    assert not (await calls.beat(pool, first.lease)).held
    assert (await calls.beat(pool, second.lease)).held
