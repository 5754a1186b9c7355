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
from tests.faults.breaking import Breaker
from tests.faults.campaign import agents_of, campaign
from tests.faults.invariants import check, settled
from tests.faults.ledger import Ledger
from tests.faults.points import POINTS
from tests.faults.stories import Ending, edited, given_up, handed_in, loud, one_run, quick, slow
from tests.faults.world import World, opened

ROOT = Path(__file__).parents[2]
SEED = 20261121
SLICE_S = 40.0
REACHED_WITHIN_S = 60.0
STOPPED_AT = ("after_engine_start", "after_effect", "after_freeze", "after_taken_out", "before_import")


@async_fixture(scope="module")
async def world() -> AsyncGenerator[World]:
    """Two servers over one Postgres, with leases so short that a take-over is soon seen."""
    async with opened(agents=1, lease_s=1.0) as world:
        yield world


async def broken_once(
    world: World, name: str, ending: Ending, breaking: Callable[[Breaker], Coroutine[None, None, bool]]
) -> Ledger:
    """An agent works at the first server until it broke there, and to its run's end; what did not hold."""
    ledger, stop = Ledger(), asyncio.Event()
    async with agents_of(world, ledger, name, cuts=0) as (agent,):
        agent.seats = world.seats[:1]
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
