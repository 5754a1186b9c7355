"""However a run is lived, and wherever servers die meanwhile, every promise about it holds after every step.

A hypothesis state machine against real Postgres, real sandboxes and two real servers, which get SIGKILL at the fault
points of ``tests/faults``. The suite lives the same few lives every time. For longer, and different every time::

    pytest tests/flows/life --hypothesis-profile=long
    pytest tests/flows/life --hypothesis-profile=long --hypothesis-seed=7

A failure tells its steps; with the long profile hypothesis also looks for the smallest sequence that fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from pytest_asyncio import fixture as async_fixture

from tests.faults.campaign import agents_of
from tests.faults.ledger import Ledger
from tests.faults.world import Seat, World, opened
from tests.flows.life.machine import LifeOfRuns
from tests.flows.life.steps import Bench

_LONG = settings.get_profile("long")
_CHOSEN = _LONG if settings.default == _LONG else settings.get_profile("life")


@async_fixture(scope="module")
async def world() -> AsyncGenerator[World]:
    """Two servers over one Postgres, with leases so short that a take-over is soon seen."""
    async with opened(agents=2, lease_s=1.0) as world:
        yield world


async def kept_up(seat: Seat, bench: Bench) -> None:
    """Another server follows on one that died."""
    while True:
        await seat.gone.wait()
        bench.happened["a server died"] += 1
        if seat.fired.exists():
            bench.happened["a server died at its point"] += 1
        await seat.start()


async def test_whatever_order_things_come_in_every_promise_about_a_run_holds(world: World) -> None:
    loop = asyncio.get_running_loop()
    async with agents_of(world, Ledger(), "life", cuts=0) as (agent, stranger):
        bench = Bench(world=world, agent=agent, stranger=stranger, loop=loop)
        machine: Any = lambda: LifeOfRuns(bench)  # noqa: E731 (hypothesis takes any factory, and types a class)
        keeping = [asyncio.create_task(kept_up(seat, bench)) for seat in world.seats]
        try:
            await asyncio.to_thread(run_state_machine_as_test, machine, settings=_CHOSEN)
        finally:
            for each in keeping:
                each.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
            print(*(f"{count:5} {what}" for what, count in bench.happened.most_common()), sep="\n")  # noqa: T201 (with -s)
    assert bench.happened["a server died at its point"] > 0
