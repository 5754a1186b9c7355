"""Servers die and stop at every named point, and everything at once breaks for a while: the promises hold."""

from __future__ import annotations

import ast
import asyncio
import tomllib
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path

import pytest
from pytest_asyncio import fixture as async_fixture

from tests.faults.agents import Agent
from tests.faults.breaking import Breaker, EngineFault
from tests.faults.campaign import agents_of, campaign
from tests.faults.invariants import check, settled
from tests.faults.ledger import Ledger
from tests.faults.points import POINTS
from tests.faults.stories import Ending, edited, given_up, handed_in, loud, one_run, quick, rewritten, slow, stormy_at
from tests.faults.world import World, opened

ROOT = Path(__file__).parents[2]
SEED = 20261121
SLICE_S = 40.0
REACHED_WITHIN_S = 60.0
WORKERS_END_AT = ("after_engine_start", "after_report", "after_score_report")
STOPPED_AT = ("after_engine_start", "after_effect", "after_freeze", "after_taken_out", "before_import")


@async_fixture(scope="module")
async def world() -> AsyncGenerator[World]:
    """Two servers over one Postgres, with leases so short that a take-over is soon seen."""
    async with opened(agents=1, lease_s=1.0) as world:
        yield world


@async_fixture(scope="module")
async def world_of_a_worker() -> AsyncGenerator[World]:
    """The same, and the second server has a worker do its sandbox work."""
    async with opened(agents=1, lease_s=1.0, worker=True) as world:
        yield world


async def broken_once(
    world: World,
    name: str,
    ending: Ending,
    breaking: Callable[[Breaker], Coroutine[None, None, bool]],
    *,
    server: int = 0,
) -> Ledger:
    """An agent works at one server until something broke, and to its run's end; what did not hold."""
    ledger, stop = Ledger(), asyncio.Event()
    async with agents_of(world, ledger, name, cuts=0) as (agent,):
        agent.seats = (world.seats[server],)
        breaker = Breaker(world=world, ledger=ledger, stop=stop)
        broken = asyncio.create_task(breaking(breaker))
        await _until(agent, ending, broken)
        assert await broken, "nothing came by the point"
        await settled(world, ledger)
        await check(world, ledger, [agent], agent.mind)
    return ledger


async def _until(agent: Agent, ending: Ending, broken: asyncio.Task[bool]) -> None:
    while True:
        await one_run(agent, (quick, slow, loud, edited), ending)
        if broken.done():
            return


@pytest.mark.parametrize("point", POINTS)
async def test_a_server_killed_here_has_run_nothing_twice_and_lost_nothing(world: World, point: str) -> None:
    ending = given_up if point == "after_cancelled" else handed_in
    ledger = await broken_once(
        world, point, ending, lambda breaker: breaker.die_at(world.seats[0], point, REACHED_WITHIN_S)
    )
    assert ledger.violations == []
    assert ledger.faults == {point: 1}


@pytest.mark.parametrize("point", STOPPED_AT)
async def test_a_server_stopped_here_and_woken_after_its_lease_answers_scores_and_destroys_nothing(
    world: World, point: str
) -> None:
    past = 2.5 * world.seats[0].silence_s
    ledger = await broken_once(
        world,
        f"stopped {point}",
        handed_in,
        lambda breaker: breaker.stop_at(world.seats[0], point, past, REACHED_WITHIN_S),
    )
    assert ledger.violations == []


@pytest.mark.parametrize("point", WORKERS_END_AT)
async def test_a_worker_killed_here_has_run_nothing_twice_and_lost_nothing(
    world_of_a_worker: World, point: str
) -> None:
    (worker,) = world_of_a_worker.workers
    ledger = await broken_once(
        world_of_a_worker,
        f"worker {point}",
        handed_in,
        lambda breaker: breaker.die_at(worker, point, REACHED_WITHIN_S),
        server=1,
    )
    assert ledger.violations == []
    assert ledger.faults == {f"worker {point}": 1}


async def test_a_worker_stopped_with_a_result_and_woken_after_its_lease_changes_nothing(
    world_of_a_worker: World,
) -> None:
    (worker,) = world_of_a_worker.workers
    ledger = await broken_once(
        world_of_a_worker,
        "worker stopped",
        handed_in,
        lambda breaker: breaker.stop_at(worker, "before_report", 2.5 * worker.silence_s, REACHED_WITHIN_S),
        server=1,
    )
    assert ledger.violations == []


@pytest.mark.parametrize("how", ["gone", "silent", "streams reset"])
async def test_the_engine_is_away_in_mid_command_and_nothing_runs_twice(world: World, how: EngineFault) -> None:
    async def away(breaker: Breaker) -> bool:
        await breaker.after(0.5)
        await breaker.engine_away(how, 4.0)
        return True

    ledger = await broken_once(world, f"engine {how}", handed_in, away)
    assert ledger.violations == []
    assert ledger.faults == {f"engine {how}": 1}


async def test_thirty_two_deliveries_at_once_to_two_servers_run_one_command(world: World) -> None:
    ledger = Ledger()
    async with agents_of(world, ledger, "storm", cuts=0) as (agent,):
        await one_run(agent, (stormy_at(32),), handed_in)
        await check(world, ledger, [agent], agent.mind)
    assert ledger.violations == []


async def test_what_a_half_open_client_asked_is_answered_the_same_over_its_next_connection(world: World) -> None:
    ledger = Ledger()
    async with agents_of(world, ledger, "half-open", cuts=0.5) as (agent,):
        await one_run(agent, (quick, slow, edited, rewritten), handed_in)
        agent.cuts = 0
        await check(world, ledger, [agent], agent.mind)
    assert ledger.violations == []
    assert any(fault.startswith("client half-open") for fault in ledger.faults)


async def test_a_campaign_breaks_no_promise() -> None:
    ledger = await campaign(SLICE_S, SEED, lambda line: None)
    assert ledger.violations == []
    assert ledger.faults.total() >= 20
    assert len(ledger.sent) >= 50


def test_no_fault_point_is_shipped() -> None:
    """What is built holds only the two packages, and nothing in them can end or stop its own process."""
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert built["packages"] == ["clawbench", "sandbox_providers"]
    for source in (path for package in built["packages"] for path in (ROOT / package).rglob("*.py")):
        text = source.read_text()
        assert "tests.faults" not in text, source
        assert not any(word in text.lower() for word in ("fault_point", "faultpoint", "chaos", "inject")), source
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node)
                own_end = called.startswith(("os._exit(", "os.abort(", "signal.raise_signal("))
                assert not own_end, f"{source}: {called}"
                assert not (called.startswith("os.kill(") and "getpid" in called), f"{source}: {called}"
