"""Sandbox work on machines without a database login, and several servers over one Postgres."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from pytest_asyncio import fixture as async_fixture

from clawbench.store import installation as row
from clawbench.store.embedded.server import embedded_postgres
from clawbench.store.pool import connect
from tests.support.client import Agent, fresh_id, signed_in
from tests.support.engine import left_of
from tests.support.process import Installation
from tests.support.tasks import write_task

SCRIPT = "echo begun >>/app/begun; sleep 2; echo done >>/app/done"


@async_fixture(scope="module")
async def control_plane(open_dir: Path) -> AsyncGenerator[Installation]:
    """A server that makes no sandboxes itself, with one tiny task."""
    plane = Installation(directory=open_dir / "plane", more={"CLAWBENCH_LOCAL_WORK": "false"})
    here = Installation(directory=plane.directory)
    task = write_task(open_dir / "plane-tasks", "answer")
    try:
        await plane.up()
        await here.ok("bench", "import", str(task))
        async with embedded_postgres(plane.directory) as url, connect(url) as conn:
            instance = str(await row.id_of(conn))
        yield plane
        assert await left_of(instance) == []
    finally:
        await plane.kill()


@contextlib.asynccontextmanager
async def agent_at(plane: Installation) -> AsyncGenerator[Agent]:
    """The stock client, signed in."""
    token = (await plane.ok("admin", "token", "--agent", "Tester_agent")).strip()
    async with signed_in(plane.url, token) as agent:
        yield agent


@contextlib.asynccontextmanager
async def worker(plane: Installation, directory: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A worker of a name of its own, once it has asked for work."""
    name = f"w{fresh_id()[:12]}"
    token_file = directory / name
    token_file.write_text(await plane.ok("admin", "worker", "add", name))
    async with plane.spawn("worker", "--server", plane.url, "--token-file", str(token_file)) as process:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert (await process.stdout.readline()).startswith(b"ready:")
        yield process


async def begun(agent: Agent, run_id: str) -> None:
    """Until the script's first effect is there."""
    async with asyncio.timeout(60):
        while (await agent.deliver("read_file", run_id=run_id, path="begun")).is_error:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def start(agent: Agent) -> str:
    started = await agent.call("start_run", benchmark="terminal-bench", task_id="answer", client_call_id=fresh_id())
    return started["run_id"]


@pytest.mark.promise("worker-without-database")
async def test_a_worker_without_a_database_does_a_whole_run(control_plane: Installation, tmp_path: Path) -> None:
    async with worker(control_plane, tmp_path), agent_at(control_plane) as agent:
        run_id = await start(agent)
        assert (await agent.run(run_id, "seq 1 20000"))["truncated"]
        await agent.call("write_file", run_id=run_id, client_call_id=fresh_id(), path="answer", content="42\n")
        assert (await agent.call("read_file", run_id=run_id, path="answer"))["content"] == "42\n"
        finished = await agent.call("finalize_run", run_id=run_id, client_call_id=fresh_id())
    assert finished["score"] == 1
    assert {gate for gate, said in finished["gates"].items() if said != "passed"} == {"admin_approved"}


async def test_a_killed_workers_call_is_finished_by_another_and_runs_once(
    control_plane: Installation, tmp_path: Path
) -> None:
    async with worker(control_plane, tmp_path) as first, agent_at(control_plane) as agent:
        run_id, call_id = await start(agent), fresh_id()
        call = asyncio.create_task(agent.call("run_command", run_id=run_id, client_call_id=call_id, command=SCRIPT))
        await begun(agent, run_id)
        first.kill()
        async with worker(control_plane, tmp_path):
            assert (await call)["exit_code"] == 0
            assert (await agent.run(run_id, "cat begun done"))["stdout"] == "begun\ndone\n"
            await agent.call("cancel_run", run_id=run_id, client_call_id=fresh_id())
            await gone(control_plane)


@pytest.mark.promise("late-workers")
async def test_a_stopped_worker_that_wakes_late_changes_nothing(control_plane: Installation, tmp_path: Path) -> None:
    async with worker(control_plane, tmp_path) as stopped, agent_at(control_plane) as agent:
        run_id, call_id = await start(agent), fresh_id()
        call = asyncio.create_task(agent.call("run_command", run_id=run_id, client_call_id=call_id, command=SCRIPT))
        await begun(agent, run_id)
        stopped.send_signal(signal.SIGSTOP)
        async with worker(control_plane, tmp_path):
            first = await call
            stopped.send_signal(signal.SIGCONT)
            again = await agent.call("run_command", run_id=run_id, client_call_id=call_id, command=SCRIPT)
            assert again == first
            assert (await agent.run(run_id, "cat begun done"))["stdout"] == "begun\ndone\n"
            await agent.call("cancel_run", run_id=run_id, client_call_id=fresh_id())
            await gone(control_plane)


async def test_a_revoked_worker_stops(control_plane: Installation, tmp_path: Path) -> None:
    token_file = tmp_path / "revoked"
    token_file.write_text(await control_plane.ok("admin", "worker", "add", "revoked"))
    await control_plane.ok("admin", "worker", "revoke", "revoked")
    ended = await control_plane.run("worker", "--server", control_plane.url, "--token-file", str(token_file))
    assert ended.code == 1
    assert "does not know this worker's token" in ended.err


@pytest.mark.promise("several-servers")
async def test_calls_of_one_run_go_to_two_servers_while_both_are_killed_in_turn(
    installation: Installation, open_dir: Path
) -> None:
    other = Installation(directory=installation.directory, more={"CLAWBENCH_PUBLIC_URL": installation.url})
    token = (await installation.ok("admin", "token", "--agent", "Tester_two_servers")).strip()
    await installation.ok("bench", "import", str(write_task(open_dir / "two", "answer-two")))
    dice, servers = random.Random(7), (installation, other)  # noqa: S311
    await other.up()
    try:
        async with signed_in(installation.url, token) as agent:
            started = await agent.call(
                "start_run", benchmark="terminal-bench", task_id="answer-two", client_call_id=fresh_id()
            )
        run_id = started["run_id"]
        for turn in range(12):
            if turn in (4, 8):
                victim = servers[turn // 4 - 1]
                await victim.kill()
                await victim.up()
            async with signed_in(dice.choice(servers).url, token) as agent:
                said = await agent.call(
                    "run_command", run_id=run_id, client_call_id=f"turn-{turn}", command=f"echo {turn} >>turns"
                )
            async with signed_in(dice.choice(servers).url, token) as agent:
                again = await agent.call(
                    "run_command", run_id=run_id, client_call_id=f"turn-{turn}", command=f"echo {turn} >>turns"
                )
            assert again == said
        async with signed_in(other.url, token) as agent:
            turns = (await agent.run(run_id, "cat turns"))["stdout"].split()
            assert turns == [str(turn) for turn in range(12)]
            await agent.run(run_id, "echo 42 >answer")
            assert (await agent.call("finalize_run", run_id=run_id, client_call_id=fresh_id()))["score"] == 1
    finally:
        await other.kill()
        await gone(installation)


async def gone(plane: Installation) -> None:
    """One round of the background work on this host, which destroys what no live run needs."""
    await Installation(directory=plane.directory).ok("tick")
