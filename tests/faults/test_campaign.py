"""Servers and workers die and stop at named points, and everything at once breaks for a while: the promises hold."""

from __future__ import annotations

import ast
import asyncio
import signal
import tomllib
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_asyncio import fixture as async_fixture

from tests.faults.agents import Agent
from tests.faults.breaking import ENGINE_FAULTS, Breaker
from tests.faults.campaign import agents_of, campaign
from tests.faults.invariants import check, settled
from tests.faults.ledger import Ledger
from tests.faults.points import POINTS
from tests.faults.stories import (
    Ending,
    edited,
    given_up,
    handed_in,
    loud,
    one_run,
    quick,
    rewritten,
    several,
    slow,
    stormy_at,
)
from tests.faults.world import Seat, World, opened

ROOT = Path(__file__).parents[2]
SEED = 20261121
SLICE_S = 30.0
LANES = 3
REACHED_WITHIN_S = 60.0
WORKER_KILLED_AT = ("after_engine_start", "after_report", "after_score_report")
STOPPED_AT = ("after_engine_start", "after_effect", "after_freeze", "after_taken_out", "before_import")


@async_fixture(scope="module")
async def world() -> AsyncGenerator[World]:
    """Servers over one Postgres, with leases so short that a take-over is soon seen."""
    async with opened(agents=LANES, servers=LANES, lease_s=1.0) as world:
        yield world


@dataclass(frozen=True, slots=True)
class Trial:
    """A process that is to break at a point, and the server that is worked at until it did."""

    broken: Seat
    point: str
    how: signal.Signals
    server: Seat

    @property
    def ending(self) -> Ending:
        return given_up if self.point == "after_cancelled" else handed_in

    async def done(self, breaker: Breaker) -> bool:
        if self.how == signal.SIGKILL:
            return await breaker.die_at(self.broken, self.point, REACHED_WITHIN_S)
        return await breaker.stop_at(self.broken, self.point, 2.5 * self.broken.silence_s, REACHED_WITHIN_S)


async def broken_in_turn(world: World, lanes: Sequence[Sequence[Trial]]) -> Ledger:
    """In every lane an agent works, run after run, until each trial was had; what did not hold in the end."""
    ledger = Ledger()
    breaker = Breaker(world=world, ledger=ledger, stop=asyncio.Event())
    async with agents_of(world, ledger, lanes[0][0].how.name, cuts=0) as agents:
        async with asyncio.TaskGroup() as all_lanes:
            for agent, trials in zip(agents, lanes, strict=False):
                all_lanes.create_task(_lane(agent, trials, breaker))
        await settled(world, ledger)
        await check(world, ledger, agents, agents[0].mind)
    return ledger


async def _lane(agent: Agent, trials: Sequence[Trial], breaker: Breaker) -> None:
    for trial in trials:
        agent.seats = (trial.server,)
        broken = asyncio.create_task(trial.done(breaker))
        while not broken.done():
            await one_run(agent, (quick, slow, loud, edited), trial.ending)
        assert await broken, f"nothing came by {trial.point}"


async def test_a_server_killed_at_any_point_has_run_nothing_twice_and_lost_nothing(world: World) -> None:
    lanes = [
        [Trial(seat, point, signal.SIGKILL, seat) for point in POINTS[number::LANES]]
        for number, seat in enumerate(world.seats)
    ]
    ledger = await broken_in_turn(world, lanes)
    assert ledger.violations == []
    assert ledger.faults == Counter(POINTS)


async def test_a_server_stopped_and_woken_after_its_lease_answers_scores_and_destroys_nothing(world: World) -> None:
    lanes = [
        [Trial(seat, point, signal.SIGSTOP, seat) for point in STOPPED_AT[number::LANES]]
        for number, seat in enumerate(world.seats)
    ]
    ledger = await broken_in_turn(world, lanes)
    assert ledger.violations == []
    assert ledger.faults.total() == len(STOPPED_AT)


async def test_a_worker_killed_or_stopped_has_run_nothing_twice_and_lost_nothing() -> None:
    async with opened(agents=1, lease_s=1.0, worker=True) as world:
        (worker,), server = world.workers, world.seats[-1]
        trials = [Trial(worker, point, signal.SIGKILL, server) for point in WORKER_KILLED_AT]
        trials.append(Trial(worker, "before_report", signal.SIGSTOP, server))
        ledger = await broken_in_turn(world, [trials])
    assert ledger.violations == []
    assert ledger.faults.total() == len(trials)


async def test_the_engine_is_away_in_mid_command_and_nothing_runs_twice(world: World) -> None:
    async def away(breaker: Breaker) -> None:
        for how in ENGINE_FAULTS:
            await breaker.after(0.7)
            await breaker.engine_away(how, 3.5 if how == "silent" else 1.0)

    ledger = Ledger()
    async with agents_of(world, ledger, "engine", cuts=0) as (agent, *_):
        broken = asyncio.create_task(away(Breaker(world=world, ledger=ledger, stop=asyncio.Event())))
        while not broken.done():
            await one_run(agent, (slow, several, rewritten, slow), handed_in)
        await broken
        await settled(world, ledger)
        await check(world, ledger, [agent], agent.mind)
    assert ledger.violations == []
    assert ledger.faults == Counter(f"engine {how}" for how in ENGINE_FAULTS)


async def test_thirty_two_deliveries_at_once_to_two_servers_run_one_command(world: World) -> None:
    ledger = Ledger()
    async with agents_of(world, ledger, "storm", cuts=0) as (agent, *_):
        await one_run(agent, (stormy_at(32),), handed_in)
        await check(world, ledger, [agent], agent.mind)
    assert ledger.violations == []


async def test_what_a_half_open_client_asked_is_answered_the_same_over_its_next_connection(world: World) -> None:
    ledger = Ledger()

    async def until_both_ways(agent: Agent, run_id: str) -> bool:
        while sum(fault.startswith("client half-open") for fault in +ledger.faults) < 2:
            if not await quick(agent, run_id):
                return False
        return True

    async with agents_of(world, ledger, "half-open", cuts=0.4) as (agent, *_):
        await one_run(agent, (until_both_ways, rewritten), handed_in)
        agent.cuts = 0
        await check(world, ledger, [agent], agent.mind)
    assert ledger.violations == []
    assert sum(fault.startswith("client half-open") for fault in +ledger.faults) == 2


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
