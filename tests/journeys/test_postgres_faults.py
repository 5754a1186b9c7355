"""Postgres without a free connection, with a disk that hangs, and going down under load: told, and nothing lost."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from pytest_asyncio import fixture as async_fixture

from clawbench.flows.specs import AGENT_PREFIX
from clawbench.store import installation as row
from clawbench.store.pool import connect
from tests.support.client import LONGEST_S, fresh_id
from tests.support.client import signed_in as stock_client
from tests.support.engine import container_of, docker, left_of, remove_containers_of
from tests.support.postgres import OwnPostgres, own_postgres
from tests.support.process import Installation
from tests.support.tasks import write_task

PAGE, API, HEALTH = "/leaderboard/terminal-bench", "/api/v1/leaderboard", "/health"
SOON_S = 10.0
"""However many ask."""
ANSWERED_WITHIN_S = 60.0
COME_AGAIN = {"unavailable", "in_progress", "over_cap"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came back of one request."""

    status: int
    retry_after: str | None
    text: str
    body: dict[str, Any]
    seconds: float

    @property
    def code(self) -> str | None:
        return self.body["error"]["code"] if "error" in self.body else None

    @property
    def is_recorded(self) -> bool:
        """Whether it is the call's one answer; a delivery that was turned away tells no budgets."""
        return "budgets" in self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server process over a Postgres that the test breaks, and an agent's way to it."""

    postgres: OwnPostgres
    plane: Installation
    token: str
    http: httpx2.AsyncClient

    async def get(self, path: str, **cookies: str) -> Said:
        cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
        begun = time.monotonic()
        response = await self.http.get(path, headers={"Cookie": cookie} if cookie else {})
        is_page = response.headers["content-type"].startswith("text/html")
        return _said(response, response.text, {} if is_page else response.json(), begun)

    async def deliver(self, tool: str, **arguments: object) -> Said:
        """One delivery of a call, past any client that would try again by itself."""
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {self.token}"}
        begun = time.monotonic()
        response = await self.http.post("/mcp", json=call, headers=headers)
        if response.status_code != 200:
            return _said(response, response.text, response.json(), begun)
        _, streamed, data = response.text.rpartition("data: ")
        result = json.loads(data if streamed else response.text)["result"]
        return _said(response, result["content"][0]["text"], result["structuredContent"], begun)

    async def until_answered(self, tool: str, **arguments: object) -> Said:
        """Send it until its answer comes; whatever is said before is typed."""
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            while not (said := await self.deliver(tool, **arguments)).is_recorded:
                assert said.code in COME_AGAIN, said
                assert said.status == 200 or (said.status, said.code) == (503, "unavailable"), said
                assert said.status == 200 or said.retry_after, said
                await asyncio.sleep(0.05)
        return said

    async def begun_run(self) -> str:
        arguments = {"benchmark": "terminal-bench", "task_id": "answer", "client_call_id": fresh_id()}
        return (await self.until_answered("start_run", **arguments)).body["run_id"]

    async def effects(self, run_id: str) -> Counter[str]:
        """How often each call has had its effect in the sandbox."""
        read = await self.until_answered("run_command", run_id=run_id, client_call_id=fresh_id(), command="cat effects")
        return Counter(read.body["stdout"].split())

    async def cancelled(self, run_id: str) -> None:
        await self.until_answered("cancel_run", run_id=run_id, client_call_id=fresh_id())

    async def well(self) -> None:
        """Until it says so."""
        await _until(lambda: self._says(200))

    async def _says(self, status: int) -> bool:
        return (await self.get(HEALTH)).status == status


def _said(response: httpx2.Response, text: str, body: dict[str, Any], begun: float) -> Said:
    return Said(
        status=response.status_code,
        retry_after=response.headers.get("retry-after"),
        text=text,
        body=body,
        seconds=time.monotonic() - begun,
    )


async def _until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(ANSWERED_WITHIN_S):
        while not await true():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def leaves(name: str, rest: str = "true") -> str:
    """A command whose effect can be counted."""
    return f"{rest}; echo {name} >>effects; echo {name}"


def waits(name: str) -> str:
    """One that begins, and ends when the test lets it go."""
    return f"touch begun effects; {leaves(name, 'until [ -e go ]; do sleep 0.02; done')}"


async def let_go(run_id: str) -> None:
    """Past the server: let a waiting command come to its end, and see that it did."""
    container = await container_of(f"{AGENT_PREFIX}{run_id}")
    assert container is not None
    as_agent = ("exec", "--user", "agent", "--workdir", "/app", container)
    before = await docker(*as_agent, "sh", "-c", "cat effects; touch go")
    async with asyncio.timeout(ANSWERED_WITHIN_S):
        while await docker(*as_agent, "cat", "effects") == before:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@async_fixture(scope="module")
async def server(open_dir: Path) -> AsyncGenerator[Server]:
    """It is started once: every test needs the same process to get over what was done to its Postgres."""
    async with own_postgres(open_dir / "own-postgres") as postgres:
        plane = Installation(
            directory=open_dir / "faulty", more={"DATABASE_URL": postgres.url, "CLAWBENCH_RUNS_AT_ONCE": "16"}
        )
        await plane.up()
        process = plane.server
        async with connect(postgres.url) as conn:
            instance = str(await row.id_of(conn))
        try:
            await plane.ok("bench", "import", str(write_task(open_dir / "faulty-tasks", "answer")))
            token = (await plane.ok("admin", "token", "--agent", "Tester_agent")).strip()
            async with httpx2.AsyncClient(base_url=plane.url, timeout=LONGEST_S) as http:
                yield Server(postgres=postgres, plane=plane, token=token, http=http)
            await plane.ok("tick")
            assert await left_of(instance) == []
            assert process is not None
            assert process.returncode is None
            assert "Traceback" not in plane.log.read_text()
        finally:
            await plane.kill()
            await remove_containers_of(instance)


async def test_without_a_free_connection_everything_is_told_to_come_again_and_then_goes_on(server: Server) -> None:
    run_id = await server.begun_run()
    before = {"run_id": run_id, "client_call_id": "before", "command": leaves("before")}
    during = {"run_id": run_id, "client_call_id": "during", "command": waits("during")}
    first = await server.until_answered("run_command", **before)
    delivery = asyncio.create_task(server.deliver("run_command", **during))
    await _until(lambda: _is_there(server, run_id, "begun"))

    async with server.postgres.starved():
        await let_go(run_id)
        asked = await asyncio.gather(
            *(server.deliver("run_command", **before) for _ in range(40)),
            *(server.deliver("resume_run", run_id=run_id) for _ in range(40)),
            *(server.get(path) for path in (HEALTH, API) for _ in range(10)),
        )
        shown = await asyncio.gather(*(server.get(PAGE, clawbench_session="somebody") for _ in range(20)))
        assert {(said.status, said.code) for said in asked} == {(503, "unavailable")}
        assert {said.status for said in shown} == {503}
        assert all("<h1>Postgres did not answer" in said.text for said in shown)
        assert all(int(said.retry_after or 0) >= 1 for said in (*asked, *shown))
        assert max(said.seconds for said in (*asked, *shown)) < SOON_S
        assert not delivery.done() or not (await delivery).is_recorded

    await server.well()
    assert (await server.deliver("run_command", **before)).text == first.text
    answers = {(await server.until_answered("run_command", **during)).text for _ in range(2)}
    if (late := await delivery).is_recorded:
        answers.add(late.text)
    assert len(answers) == 1
    assert await server.effects(run_id) == {"before": 1, "during": 1}
    await server.cancelled(run_id)


async def test_while_no_commit_ends_nothing_is_answered_as_done_and_afterwards_it_was_done_once(
    server: Server,
) -> None:
    run_id = await server.begun_run()
    claimed = {"run_id": run_id, "client_call_id": "claimed", "command": waits("claimed")}
    fresh = {"run_id": run_id, "client_call_id": "fresh", "command": leaves("fresh")}
    first = asyncio.create_task(server.deliver("run_command", **claimed))
    await _until(lambda: _is_there(server, run_id, "begun"))

    async with server.postgres.stalled():
        await let_go(run_id)
        assert not first.done(), "its command is over, but its answer is not kept yet"
        refused = asyncio.create_task(server.deliver("run_command", **fresh))
        unwell = await asyncio.gather(*(server.get(HEALTH) for _ in range(3)))
        assert {(said.status, said.code) for said in unwell} == {(503, "unavailable")}
        assert max(said.seconds for said in unwell) < SOON_S
        assert (await server.get(API)).status == 200, "what only reads goes on"
        async with stock_client(server.plane.url, server.token) as agent:
            assert not (await agent.deliver("resume_run", run_id=run_id)).is_error
        told = await refused
        assert (told.code, told.is_recorded) == ("unavailable", False)
        assert told.body["error"]["retry_after_ms"] >= 1000
        assert told.seconds < 2 * SOON_S

    await server.well()
    for call, early in ((claimed, await first), (fresh, told)):
        said = [early, *[await server.until_answered("run_command", **call) for _ in range(2)]]
        assert len({each.text for each in said if each.is_recorded}) == 1
    assert await server.effects(run_id) == {"claimed": 1, "fresh": 1}
    await server.cancelled(run_id)


async def test_calls_under_way_while_postgres_goes_down_and_comes_back_are_answered_once_and_run_once(
    server: Server,
) -> None:
    runs = await asyncio.gather(*(server.begun_run() for _ in range(3)))
    told: dict[tuple[str, str], set[str]] = {}
    over = asyncio.Event()

    async def agent(run_id: str, name: str) -> None:
        for turn in range(8):
            call_id = f"{name}.{turn}"
            call = {"run_id": run_id, "client_call_id": call_id, "command": leaves(call_id, "sleep 0.1")}
            said = await asyncio.gather(*(server.until_answered("run_command", **call) for _ in range(2)))
            told[run_id, call_id] = {each.text for each in said}

    async def onlooker(ask: Callable[[], Awaitable[Said]]) -> None:
        while not over.is_set():
            said = await ask()
            assert said.status in (200, 503), said
            assert said.status == 200 or said.retry_after, said
            assert said.code in {None, *COME_AGAIN}, said

    async with asyncio.TaskGroup() as all_of_them:
        watching = [
            all_of_them.create_task(onlooker(lambda: server.deliver("resume_run", run_id=runs[0]))),
            all_of_them.create_task(onlooker(lambda: server.deliver("list_runs"))),
            all_of_them.create_task(onlooker(lambda: server.get(PAGE, clawbench_session="somebody"))),
            all_of_them.create_task(onlooker(lambda: server.get(HEALTH))),
        ]
        agents = [all_of_them.create_task(agent(run_id, f"a{n}")) for run_id in runs for n in range(3)]
        for answered, how in ((9, signal.SIGQUIT), (27, signal.SIGINT), (45, signal.SIGQUIT)):
            await _until(partial(_so_many, told, answered))
            await server.postgres.shut_down(how)
        await asyncio.wait(agents)
        over.set()
        await asyncio.wait(watching)

    for run_id in runs:
        calls = {call_id: texts for (run, call_id), texts in told.items() if run == run_id}
        assert len(calls) == 24
        again = await asyncio.gather(
            *(
                server.until_answered(
                    "run_command", run_id=run_id, client_call_id=call_id, command=leaves(call_id, "sleep 0.1")
                )
                for call_id in calls
            )
        )
        assert [texts | {said.text} for texts, said in zip(calls.values(), again, strict=True)] == list(calls.values())
        assert {len(texts) for texts in calls.values()} == {1}
        assert await server.effects(run_id) == dict.fromkeys(calls, 1)
        await server.cancelled(run_id)


async def _is_there(server: Server, run_id: str, path: str) -> bool:
    return (await server.deliver("read_file", run_id=run_id, path=path)).code is None


async def _so_many(told: dict[tuple[str, str], set[str]], answered: int) -> bool:
    return len(told) >= answered
