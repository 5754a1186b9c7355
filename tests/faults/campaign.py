"""``python -m tests.faults.campaign``: a seeded campaign against one world, and its one closing line."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import shutil
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from random import Random
from time import monotonic

import httpx2
import structlog

from tests.faults.agents import ANSWERED_WITHIN_S, Agent
from tests.faults.breaking import Breaker
from tests.faults.invariants import check, settled, unexpected
from tests.faults.ledger import Ledger
from tests.faults.stories import live
from tests.faults.world import LEASE_S, World, opened

Tell = Callable[[str], None]
AGENTS = 5
_TOLD_EVERY_S = 30.0


@contextlib.asynccontextmanager
async def agents_of(world: World, ledger: Ledger, seed: object, *, cuts: float = 0.06) -> AsyncGenerator[list[Agent]]:
    """One agent for every token of the world."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx2.AsyncClient(timeout=httpx2.Timeout(30), limits=limits) as http:
        agents = [
            Agent(
                seats=world.seats,
                ledger=ledger,
                token=token,
                mind=Random(f"{seed} agent {number}"),  # noqa: S311 (a plan, not a secret)
                http=http,
                cuts=cuts,
            )
            for number, token in enumerate(world.tokens)
        ]
        try:
            yield agents
        finally:
            for relay in (relay for agent in agents for relay in agent.half_open):
                relay.down()


async def campaign(
    seconds: float, seed: int, tell: Tell, *, agents: int = AGENTS, shipped: float = 0.0, logs: Path | None = None
) -> Ledger:
    """Break a world of its own for so long, let it settle, and ask every invariant.

    In the last part of it, as large as ``shipped`` says, leases are as long as they are shipped.
    """
    ledger = Ledger()
    began = monotonic()
    async with opened(agents=agents, worker=True) as world, agents_of(world, ledger, seed) as all_agents:
        tell(f"up after {monotonic() - began:.1f} s: instance {world.instance}")
        await _broken(world, ledger, all_agents, seconds, seed, tell, shipped=shipped)
        tell(f"broken for {seconds:.0f} s; letting it settle")
        await settled(world, ledger)
        for agent in all_agents:
            agent.cuts = 0
        await check(world, ledger, all_agents, Random(f"{seed} replays"))  # noqa: S311
        for seat in (*world.seats, *world.workers):
            if logs is not None:
                shutil.copy(seat.log, logs)
            for line in unexpected(seat.log.read_text(errors="replace").splitlines()):
                ledger.wrong(f"log of {seat.name}: {line[:1500]}")
    return ledger


async def _broken(
    world: World, ledger: Ledger, agents: list[Agent], seconds: float, seed: int, tell: Tell, *, shipped: float
) -> None:
    breaking, resting = asyncio.Event(), asyncio.Event()
    breaker = Breaker(world=world, ledger=ledger, stop=breaking)
    async with asyncio.TaskGroup() as everything:
        for agent in agents:
            everything.create_task(live(agent, resting))
        for seat in (*world.seats, *world.workers):
            everything.create_task(breaker.processes(seat, Random(f"{seed} {seat.name}")))  # noqa: S311
        everything.create_task(breaker.postgres(Random(f"{seed} postgres")))  # noqa: S311
        everything.create_task(breaker.engine(Random(f"{seed} engine")))  # noqa: S311
        everything.create_task(breaker.sandboxes(Random(f"{seed} sandboxes")))  # noqa: S311
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0:
            if left <= shipped * seconds:
                _as_shipped(world, agents)
            await asyncio.sleep(min(left, _TOLD_EVERY_S))
            tell(f"{max(0, until - monotonic()):.0f} s to go: {closing_line(ledger)}")
        breaking.set()
        resting.set()


def _as_shipped(world: World, agents: list[Agent]) -> None:
    """Whoever starts from now on has the shipped leases, and who waits for one to pass is as patient."""
    for seat in (*world.seats, *world.workers):
        seat.lease_s = None
        for agent in agents:
            agent.patience_s = ANSWERED_WITHIN_S * seat.silence_s / LEASE_S


def closing_line(ledger: Ledger) -> str:
    """Faults, calls, violations."""
    return f"faults={ledger.faults.total()} calls={len(ledger.sent)} violations={len(ledger.violations)}"


def main() -> int:
    """Run it as asked; 1 when something did not hold."""
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long things are broken (600)")
    parser.add_argument("--seed", type=int, default=1, help="what decides every choice (1)")
    parser.add_argument(
        "--shipped", type=float, default=0.25, help="the share of the time in which leases are as shipped (0.25)"
    )
    parser.add_argument("--logs", type=Path, help="a directory for what the servers and the worker said")
    chosen = parser.parse_args()
    # Its own Postgres dies often, and that is as it should be.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    ledger = asyncio.run(
        campaign(
            chosen.seconds,
            chosen.seed,
            lambda line: print(line, flush=True),  # noqa: T201
            shipped=chosen.shipped,
            logs=chosen.logs,
        )
    )
    for name, times in sorted(ledger.faults.items()):
        sys.stdout.write(f"{times:5} {name}\n")
    sys.stdout.write(f"runs: {', '.join(f'{name} {times}' for name, times in sorted(ledger.ends.items()))}\n")
    for violation in ledger.violations:
        sys.stdout.write(f"VIOLATION: {violation}\n")
    sys.stdout.write(f"{closing_line(ledger)}\n")
    return 1 if ledger.violations else 0


if __name__ == "__main__":
    sys.exit(main())
