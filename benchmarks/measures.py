"""Every measure by name. Ours and raw take turns, so that a busy machine slows both."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from uuid import uuid4

from benchmarks import engine
from benchmarks.wire import call, connected
from benchmarks.world import World
from clawbench.flows.specs import AGENT_PREFIX
from clawbench.model.call import Answer, Fresh
from clawbench.model.run import RunStatus
from clawbench.model.work import Lease, Places
from clawbench.store import calls
from tests.support.engine import container_of, docker
from tests.support.process import free_port
from tests.support.rows import Row, a_run
from tests.support.tasks import SOLVE_ANSWER

CALLS = 40
"""Calls of each client in one repetition."""
CHEAP_CALLS = 500
CLAIMS = 100
CLAIMS_A_SECOND = 4000
IDLE_RUNS = 8
TICK_S = 0.01
"""What the kernel counts CPU time in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the table."""

    work: str
    figure: str
    ratio: float | None
    goal: str
    met: bool


Measure = Callable[[World, int], Awaitable[list[Line]]]


def at_most(work: str, figure: str, ratio: float, goal: float, against: str) -> Line:
    return Line(work=work, figure=figure, ratio=ratio, goal=f"≤ {goal:g} × {against}", met=ratio <= goal)


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


async def run_command(world: World, repetitions: int, *, clients: int, goal: float) -> list[Line]:
    """A command through MCP with bearer, durable claim and durable record; at most four clients of a run."""
    ratios, speeds, ours = list[float](), list[float](), list[float]()
    async with engine.container() as raw, world.runs(min(clients, 16)) as runs:
        each = max(4, CALLS // clients)
        for _ in range(repetitions):
            begun = perf_counter()
            base = await engine.executed(raw, max(clients, 8), clients)
            raw_speed = len(base) / (perf_counter() - begun)
            begun = perf_counter()
            of_clients = (_commands(world, runs[i % len(runs)], each) for i in range(clients))
            took = [one for client in await asyncio.gather(*of_clients) for one in client]
            speeds.append(len(took) / (perf_counter() - begun) / raw_speed)
            ours.append(median(took))
            ratios.append(median(took) / median(base))
    work = f"run_command through MCP, {clients} client{'s' if clients > 1 else ''}"
    lines = [at_most(f"{work}, p50", ms(median(ours)), median(ratios), goal, "raw")]
    if clients > 1:
        speed = median(speeds)
        lines.append(Line(work=f"{work}, calls/s", figure="", ratio=speed, goal="≥ 15 × raw", met=speed >= 15))
    return lines


async def _commands(world: World, run_id: str, count: int) -> list[float]:
    took = list[float]()
    async with connected(world.port) as wire:
        for _ in range(count):
            begun = perf_counter()
            await world.command(wire, run_id)
            took.append(perf_counter() - begun)
    return took


async def whoami(world: World, repetitions: int) -> list[Line]:
    """CPU of the server's process for a call that needs no sandbox, beside the SDK with one tool and nothing else."""
    ours, bare = list[float](), list[float]()
    async with _bare_server() as (port, pid):
        for _ in range(repetitions):
            bare.append(await _cpu_of_calls(port, pid, None))
            ours.append(await _cpu_of_calls(world.port, world.pid, world.token))
    ratio = median(a / b for a, b in zip(ours, bare, strict=True))
    return [at_most("whoami, CPU per call", f"{median(ours) * 1e6:.0f} µs", ratio, 1.3, "bare SDK")]


async def _cpu_of_calls(port: int, pid: int, token: str | None) -> float:
    async with connected(port) as wire:
        before = _cpu_s(pid)
        for _ in range(CHEAP_CALLS):
            await call(wire, port, token, "whoami")
        return (_cpu_s(pid) - before) / CHEAP_CALLS


@contextlib.asynccontextmanager
async def _bare_server() -> AsyncGenerator[tuple[int, int]]:
    port = free_port()
    program = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.bare", str(port))
    try:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError):
                    async with connected(port):
                        break
                await asyncio.sleep(0.05)
        yield port, program.pid
    finally:
        program.kill()
        await program.wait()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


async def duplicate(world: World, repetitions: int) -> list[Line]:
    """The same call again, beside a fresh one."""
    ratios, ours = list[float](), list[float]()
    async with world.runs(1) as (run_id,), connected(world.port) as wire:
        await world.command(wire, run_id, "again")
        for _ in range(repetitions):
            fresh, again = list[float](), list[float]()
            for _ in range(CALLS):
                for call_id, taken in ((None, fresh), ("again", again)):
                    begun = perf_counter()
                    await world.command(wire, run_id, call_id)
                    taken.append(perf_counter() - begun)
            ours.append(median(again))
            ratios.append(median(again) / median(fresh))
    return [at_most("duplicate delivery", ms(median(ours)), median(ratios), 0.5, "fresh call")]


async def start(world: World, repetitions: int) -> list[Line]:
    """From start_run to the end of the first command, beside a container made, started and used past us."""
    ratios, ours = list[float](), list[float]()
    async with connected(world.port) as wire:
        for _ in range(repetitions):
            cold, begun = await engine.started_cold(), perf_counter()
            run_id = await world.run(wire)
            await world.command(wire, run_id)
            took = perf_counter() - begun
            ours.append(took)
            ratios.append(took / cold)
            await world.call(wire, "cancel_run", run_id=run_id, client_call_id=uuid4().hex)
    return [at_most("start_run to first command done", ms(median(ours)), median(ratios), 1.2, "cold raw")]


async def trial(world: World, repetitions: int) -> list[Line]:
    """A run of a trivial task from its start to its score, with the reference solution."""
    ratios, ours = list[float](), list[float]()
    async with engine.container() as raw, connected(world.port) as wire:
        for _ in range(repetitions):
            base, begun = median(await engine.executed(raw, 5)), perf_counter()
            run_id = await world.run(wire)
            await world.call(wire, "run_command", run_id=run_id, client_call_id="solve", command=SOLVE_ANSWER)
            scored = await world.call(wire, "finalize_run", run_id=run_id, client_call_id="end")
            took = perf_counter() - begun
            assert scored["score"] == 1, scored
            ours.append(took)
            ratios.append(took / base)
    took = median(ours)
    return [Line(work="whole trial", figure=f"{took:.2f} s", ratio=median(ratios), goal="≤ 0.5 s", met=took <= 0.5)]


async def idle_runs(world: World, repetitions: int) -> list[Line]:
    """What a run costs that waits for its agent, and how it answers one call a second."""
    before = _memory_kb([world.pid])
    async with world.runs(IDLE_RUNS) as runs:
        sandboxes = [pid for run in runs for pid in await _processes_of(run)]
        each = (_memory_kb([world.pid]) - before + _memory_kb(sandboxes)) / IDLE_RUNS / 1024
        took = [one for run in await asyncio.gather(*(_slowly(world, run, repetitions) for run in runs)) for one in run]
    return [
        Line(
            work=f"memory of an idle run, of {IDLE_RUNS}",
            figure=f"{each:.1f} MiB",
            ratio=None,
            goal="≤ 9 MiB",
            met=each <= 9,
        ),
        Line(
            work=f"{IDLE_RUNS} runs at a call a second, p50",
            figure=ms(median(took)),
            ratio=None,
            goal="≤ 50 ms",
            met=median(took) <= 0.05,
        ),
    ]


async def _slowly(world: World, run_id: str, count: int) -> list[float]:
    took = list[float]()
    for _ in range(count):
        took += await _commands(world, run_id, 1)
        await asyncio.sleep(max(0, 1 - took[-1]))
    return took


async def _processes_of(run_id: str) -> list[int]:
    """The run's container: the engine's process that watches it, and those inside."""
    container = await container_of(f"{AGENT_PREFIX}{run_id}")
    assert container is not None
    first = int(await docker("inspect", "--format", "{{.State.Pid}}", container))
    parents = _parents()
    inside, below = set[int](), {parents[first]}
    while below:
        inside |= below
        below = {pid for pid, parent in parents.items() if parent in below}
    return sorted(inside)


def _parents() -> dict[int, int]:
    return {int(entry.name): _parent_of(entry) for entry in Path("/proc").iterdir() if entry.name.isdecimal()}


def _parent_of(process: Path) -> int:
    with contextlib.suppress(OSError):
        return int(process.joinpath("stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _memory_kb(pids: Iterable[int]) -> int:
    """What the processes have for themselves, and their part of what they share."""
    return sum(int(Path(f"/proc/{pid}/smaps_rollup").read_text().partition("\nPss:")[2].split()[0]) for pid in pids)


async def claims(world: World, repetitions: int) -> list[Line]:
    """Claim and record at the store: two durable commits, each with its event, beside two of the smallest commits."""
    lines = list[Line]()
    await world.pool.execute("create table if not exists bench_commit (n int)")
    for connections in (1, 16):
        speeds, ratios = list[float](), list[float]()
        for _ in range(repetitions):
            rows = [await a_run(world.pool, call_limit=1_000_000) for _ in range(connections)]
            smallest = await _paced([_committed(world) for _ in rows])
            speeds.append(await _paced([_claimed(world, row) for row in rows]))
            ratios.append(smallest / speeds[-1])
        work = f"claim + record, {connections} connection{'s' if connections > 1 else ''}"
        speed = median(speeds)
        goal, met = f"≥ {CLAIMS_A_SECOND}/s", speed >= CLAIMS_A_SECOND
        lines.append(Line(work=work, figure=f"{speed:.0f}/s", ratio=median(ratios), goal=goal, met=met))
    return lines


async def _paced(work: Sequence[Awaitable[None]]) -> float:
    begun = perf_counter()
    await asyncio.gather(*work)
    return len(work) * CLAIMS / (perf_counter() - begun)


async def _committed(world: World) -> None:
    for _ in range(2 * CLAIMS):
        await world.pool.execute("insert into bench_commit values (1)")


async def _claimed(world: World, row: Row) -> None:
    for _ in range(CLAIMS):
        claim = await calls.claim(
            world.pool,
            run_id=row.run_id,
            user_id=row.user_id,
            client_call_id=uuid4().hex,
            tool="run_command",
            arguments={"command": "true"},
            accepting=frozenset({RunStatus.RUNNING}),
            in_flight_limit=4,
            exempt_from_caps=False,
            places=Places(sites=(), providers=("docker",)),
        )
        assert isinstance(claim, Fresh), claim
        lease: Lease = claim.job.lease
        assert await calls.record(world.pool, lease, Answer.of({}), outcome="answered", output_bytes=0)


NEED_NO_TASK = frozenset({"whoami", "claims"})
MEASURES: Mapping[str, Measure] = {
    "run_command": partial(run_command, clients=1, goal=0.12),
    "run_command_8": partial(run_command, clients=8, goal=0.08),
    "run_command_64": partial(run_command, clients=64, goal=0.08),
    "whoami": whoami,
    "duplicate": duplicate,
    "start": start,
    "trial": trial,
    "idle_runs": idle_runs,
    "claims": claims,
}
