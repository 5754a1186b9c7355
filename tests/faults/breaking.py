"""What breaks things: loops that inject one fault after the other, as a seed decides, and count each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal, assert_never, get_args

from clawbench.errors import Unavailable
from clawbench.store.pool import connect
from tests.faults import sandboxes
from tests.faults.ledger import Ledger
from tests.faults.points import POINTS, WORKER_POINTS
from tests.faults.world import Seat, World

_REACHED_WITHIN_S = 5.0
_HURRY_S = 3.0
"""The lease at which faults come as fast as told here; with longer ones they are rarer."""
_AGENT, _VERIFIER = "clawbench-cb-", "clawbench-cbv-"

EngineFault = Literal["gone", "silent", "silent, then reset", "streams reset"]
ENGINE_FAULTS: tuple[EngineFault, ...] = get_args(EngineFault)


def kill_a_child_of(postmaster: int, mind: Random) -> None:
    """Kill one of Postgres's own processes; it then restarts all of them."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        if children:
            os.kill(int(mind.choice(children)), signal.SIGKILL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """Breaks one world until told to stop."""

    world: World
    ledger: Ledger
    stop: asyncio.Event

    async def after(self, seconds: float) -> bool:
        """Wait; whether to go on."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)
        return not self.stop.is_set()

    async def processes(self, seat: Seat, mind: Random) -> None:
        """Kill, stop and restart the server or the worker at one seat."""
        deck = list[str]()
        points, who = (WORKER_POINTS, "worker") if seat.is_worker else (POINTS, "server")
        while await self.after(mind.uniform(0, 0.4) * seat.silence_s / _HURRY_S):
            if not deck:
                deck = mind.sample(points, len(points))
            how = mind.random()
            if how < (0.6 if seat.is_worker else 0.75):
                point = deck.pop()
                if not await self.die_at(seat, point) and await self.after(0):
                    deck.insert(0, point)
                    continue
            elif how < 0.88:
                await self.after(mind.uniform(0, 0.5))
                await self.end(seat, signal.SIGKILL, f"{who} killed")
            elif how < 0.93:
                await self.end(seat, signal.SIGTERM, f"{who} told to stop")
            else:
                point = mind.choice((None, *points))
                await self.stop_at(seat, point, mind.uniform(1.1, 2.2) * seat.silence_s)

    async def die_at(self, seat: Seat, point: str, within_s: float = _REACHED_WITHIN_S) -> bool:
        """Arm the point and wait until the process died there; False when nothing came by."""
        seat.arm(point, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(seat.gone.wait(), within_s)
        if not seat.gone.is_set() and seat.disarm():
            return False
        await seat.gone.wait()
        if not seat.fired.exists():
            self.ledger.wrong(f"{seat.name} ended by itself")
        self.ledger.faults[f"worker {point}" if seat.is_worker else point] += 1
        await seat.start()
        return True

    async def end(self, seat: Seat, how: signal.Signals, name: str) -> None:
        seat.signal(how)
        self.ledger.faults[name] += 1
        await seat.gone.wait()
        await seat.start()

    async def stop_at(self, seat: Seat, point: str | None, seconds: float, within_s: float = _REACHED_WITHIN_S) -> bool:
        """Stop the process past its leases, at a point or anywhere; it then goes on as if nothing had been."""
        if point is None:
            seat.signal(signal.SIGSTOP)
        else:
            seat.arm(point, signal.SIGSTOP)
            if not await self._fired(seat, within_s) and seat.disarm():
                return False
        self.ledger.faults[f"{'worker' if seat.is_worker else 'server'} stopped past its lease"] += 1
        try:
            await self.after(seconds)
        finally:
            seat.signal(signal.SIGCONT)
        return True

    async def _fired(self, seat: Seat, within_s: float) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while not (fired := seat.fired.exists()) and loop.time() < until:  # noqa: ASYNC110 (another process's file)
            await asyncio.sleep(0.02)
        return fired

    async def postgres(self, mind: Random) -> None:
        """Crash Postgres: a session of it, all of it at once, or its head."""
        while await self.after(mind.uniform(5, 10)):
            postmaster = self.world.postmaster
            if postmaster is None:
                continue
            how = mind.choice(("session", "immediate", "killed"))
            if how == "session":
                kill_a_child_of(postmaster, mind)
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(postmaster, signal.SIGQUIT if how == "immediate" else signal.SIGKILL)
            self.ledger.faults[f"postgres {how}"] += 1
            await self.postgres_is_back()

    async def postgres_is_back(self) -> None:
        assert self.world.settings.database_url is not None
        url = self.world.settings.database_url.get_secret_value()
        async with asyncio.timeout(60):
            while True:
                try:
                    async with connect(url):
                        return
                except Unavailable:
                    await asyncio.sleep(0.05)

    async def engine(self, mind: Random) -> None:
        """Take the way to the engine away for a while, or only what is attached over it."""
        while await self.after(mind.uniform(4, 9)):
            await self.engine_away(mind.choice(ENGINE_FAULTS), mind.uniform(0.3, 5.0))

    async def engine_away(self, how: EngineFault, seconds: float) -> None:
        """No way to the engine for so long; the engine itself and what it runs go on."""
        relay = self.world.engine
        self.ledger.faults[f"engine {how}"] += 1
        match how:
            case "streams reset":
                return relay.cut()
            case "gone":
                relay.down()
            case "silent" | "silent, then reset":
                relay.silence()
            case _:
                assert_never(how)
        try:
            await self.after(seconds)
            if how == "silent, then reset":
                relay.cut()
        finally:
            await relay.up()

    async def sandboxes(self, mind: Random) -> None:
        """Kill sandboxes, and stop the runners of some for a while."""
        while await self.after(mind.uniform(1, 3)):
            if mind.random() < 0.55:
                await self.stop_one(mind)
            else:
                await self.kill_one(mind)

    async def kill_one(self, mind: Random) -> None:
        names = await self._sandboxes()
        if not names:
            return
        name = mind.choice(names)
        run_id = name.removeprefix(_AGENT).removeprefix(_VERIFIER)[:36]
        if name.startswith(_AGENT):
            self.ledger.killed.add(run_id)
        if await sandboxes.kill(name):
            self.ledger.faults["sandbox killed" if name.startswith(_AGENT) else "verifier killed"] += 1
            await sandboxes.note_effects(self.ledger, run_id)

    async def stop_one(self, mind: Random) -> None:
        """Let a runner be silent for a while, its channels open."""
        names = await self._sandboxes()
        if names and await sandboxes.stop_runner(name := mind.choice(names)):
            self.ledger.faults["runner stopped"] += 1
            await self.after(mind.uniform(0.3, 5.0))
            await sandboxes.wake_runner(name)

    async def _sandboxes(self) -> list[str]:
        return [name for name in await sandboxes.running(self.world.instance) if name.startswith((_AGENT, _VERIFIER))]
