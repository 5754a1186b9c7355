"""One whole ClawBench in this process for the session: real Postgres, real engine, real HTTP, and one tiny task."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette

from clawbench.app import build_app
from clawbench.deps import Deps, open_deps
from clawbench.errors import ClawBenchError
from clawbench.flows.import_tasks import import_task
from clawbench.flows.tool_call import tool_call
from clawbench.flows.work import sweep
from clawbench.model.call import Answer
from clawbench.model.caller import Caller, Scope
from clawbench.oauth.bearer import issue_token
from clawbench.settings import Settings
from clawbench.store.pool import connect
from tests.sign_in_app import Person, somebody
from tests.support.client import Agent, fresh_id, signed_in
from tests.support.engine import left_of, remove_containers_of
from tests.support.process import free_port
from tests.support.tasks import write_task

TASK = "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A person's agent with a token."""

    person: Person
    caller: Caller
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The deps, and where their app is served."""

    deps: Deps
    url: str

    async def member(self, *scopes: Scope, admin: bool = False) -> Member:
        """Somebody new, so that no test meets another's caps."""
        chosen = scopes or (Scope.READ, Scope.RUN)
        person = await somebody(self.deps.pool, admin=admin)
        issued = await issue_token(
            self.deps.pool,
            agent=person.agent,
            scopes=chosen,
            lifetime=timedelta(hours=1),
            resource=self.deps.settings.resource,
        )
        caller = Caller(
            user_id=person.user.id,
            agent_id=person.agent.id,
            agent_name=person.agent.name,
            scopes=frozenset(chosen),
        )
        return Member(person=person, caller=caller, token=issued.text)

    def connected(self, member: Member, *, mode: str = "auto") -> AbstractAsyncContextManager[Agent]:
        """The stock client, signed in as this member."""
        return signed_in(self.url, member.token, mode=mode)

    async def answer(self, member: Member, tool: str, /, **arguments: object) -> Answer:
        """One delivery past the wire, at the flow that every door calls; refusals are raised."""
        return await tool_call(self.deps, member.caller, tool, arguments, _unheard)

    async def refusal(self, member: Member, tool: str, /, **arguments: object) -> ClawBenchError:
        """A delivery that must be refused; how."""
        try:
            answer = await self.answer(member, tool, **arguments)
        except ClawBenchError as error:
            return error
        raise AssertionError(f"{tool} was not refused: {answer}")

    def with_settings(self, **changes: object) -> Stack:
        """The same installation under other caps, for calls past the wire."""
        return replace(self, deps=replace(self.deps, settings=self.deps.settings.model_copy(update=changes)))

    async def run(self, member: Member, task: str = TASK) -> str:
        """A new running run."""
        arguments = {"benchmark": "terminal-bench", "task_id": task, "client_call_id": fresh_id()}
        return told(await self.answer(member, "start_run", **arguments))["run_id"]

    async def command(self, member: Member, run_id: str, command: str) -> Mapping[str, Any]:
        """One command in the run's sandbox."""
        arguments = {"run_id": run_id, "client_call_id": fresh_id(), "command": command}
        return told(await self.answer(member, "run_command", **arguments))

    async def finalized(self, member: Member, run_id: str) -> Mapping[str, Any]:
        """Hand in and wait for the score."""
        return told(await self.answer(member, "finalize_run", run_id=run_id, client_call_id=fresh_id()))

    async def scored_run(self, member: Member) -> str:
        """A run that did what the tiny task asks."""
        run_id = await self.run(member)
        assert (await self.command(member, run_id, "echo 42 >answer"))["exit_code"] == 0
        assert (await self.finalized(member, run_id))["score"] == 1
        return run_id


async def _unheard(seconds: float, word: str) -> None:
    del seconds, word


def told(answer: Answer) -> dict[str, Any]:
    """The body of an answer that is no error."""
    assert not answer.is_error, answer.body
    return json.loads(answer.body)


class Served(uvicorn.Server):
    """A server that leaves the process's signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextlib.asynccontextmanager
async def served(app: Starlette, port: int) -> AsyncGenerator[None]:
    """The app over real HTTP while the body runs."""
    server = Served(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", ws="none", timeout_graceful_shutdown=5)
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done(), serving.result()
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await serving


async def end_all(deps: Deps) -> None:
    """Let the sweeper end every run that a test left."""
    await deps.pool.execute("update clawbench.runs set deadline = clock_timestamp() where finished_at is null")
    await sweep(deps)


@contextlib.asynccontextmanager
async def opened(database_url: str, directory: Path, *, work: bool = True) -> AsyncGenerator[Stack]:
    """An installation of its own on this database; no sandbox of it is left at the end."""
    async with connect(database_url) as conn:
        # A database made from the template has the template's id.
        instance = str(await conn.fetchval("update clawbench.installation set id = gen_random_uuid() returning id"))
    settings = Settings(port=free_port(), data_dir=directory, database_url=SecretStr(database_url))
    try:
        async with open_deps(settings) as deps:
            async with served(build_app(deps, work=work), settings.port):
                yield Stack(deps=deps, url=settings.origin)
            await end_all(deps)
            assert await left_of(instance) == []
    finally:
        await remove_containers_of(instance)


async def import_tiny(stack: Stack, directory: Path) -> None:
    """The task that most tests run: write 42 into a file."""
    task = await import_task(stack.deps, write_task(directory, TASK), lambda line: None)
    assert task.state == "ready", task.why
