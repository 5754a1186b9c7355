"""Everybody who may ask for something, and what they are told: the actors of the authorization table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2

from clawbench.flows.tools import TOOLS
from clawbench.model.benchmark import Benchmark
from clawbench.model.caller import Scope
from clawbench.oauth.bearer import issue_token
from clawbench.store import tasks
from clawbench.store.sessions import start_session
from tests.sign_in_app import Person, csrf_in
from tests.support.client import fresh_id
from tests.support.rows import Row, a_run
from tests.support.stack import TASK, Stack

ACTORS = ("anonymous", "read", "run", "other", "owner", "admin")
"""Nobody; the owner's token with one scope only (twice); somebody else; the owner; an admin who owns nothing here.

The last three have a browser session as well."""

PASSED, SIGN_IN, REFUSED, HIDDEN, UNAUTHENTICATED = "passed", "sign in", "refused", "hidden", "unauthenticated"

_TOLD = {401: UNAUTHENTICATED, 403: REFUSED, 404: HIDDEN}
_TOLD_BY_CODE = {"not_found": HIDDEN, "not_permitted": REFUSED}
_BOTH = (Scope.READ, Scope.RUN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Everybody:
    """The actors, and one run of the owner's that is over, so that whatever passes changes nothing."""

    stack: Stack
    tokens: Mapping[str, str]
    people: Mapping[str, Person]
    run: Row

    async def browser(self, actor: str) -> httpx2.AsyncClient:
        """What the actor sends: its token, and its cookie in a session of its own."""
        headers = {"Accept": "application/json, text/event-stream, text/html"}
        if actor in self.tokens:
            headers["Authorization"] = f"Bearer {self.tokens[actor]}"
        client = httpx2.AsyncClient(base_url=self.stack.url, headers=headers, timeout=60)
        if actor in self.people:
            secret = await start_session(self.stack.deps.pool, self.people[actor].user.id)
            client.cookies.set("clawbench_session", secret)
        return client

    async def asks(self, actor: str, method: str, path: str) -> str:
        """What the actor is told by a route."""
        values = {"run_id": str(self.run.run_id), "benchmark": "terminal-bench", "digest": "0" * 64, "id": str(uuid4())}
        async with await self.browser(actor) as browser:
            sent: dict[str, str] = {}
            if method == "POST" and not path.startswith(("/api/", "/oauth/", "/internal/")):
                sent["csrf"] = csrf_in(await browser.get("/device" if actor in self.people else "/sign-in"))
            answer = await browser.request(method, path.format(**values), data=sent or None)
        if answer.is_redirect and answer.headers["location"].startswith("/sign-in?next="):
            return SIGN_IN
        assert answer.status_code < 500, answer.text
        return _TOLD.get(answer.status_code, PASSED)

    async def calls(self, actor: str, tool: str, arguments: Mapping[str, Any]) -> str:
        """What the actor is told by a tool; a run that is hidden is told of exactly as one that does not exist."""
        said, error = await self._called(actor, tool, arguments, str(self.run.run_id))
        if said is HIDDEN:
            assert (said, error) == await self._called(actor, tool, arguments, str(uuid4()))
        return said

    async def _called(self, actor: str, tool: str, arguments: Mapping[str, Any], run_id: str) -> tuple[str, object]:
        params = {"name": tool, "arguments": {**arguments, **_ids(tool, run_id)}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        async with await self.browser(actor) as browser:
            answer = await browser.post("/mcp", json=body)
        if answer.status_code != 200:
            return _TOLD[answer.status_code], answer.json()
        (data,) = [line for line in answer.text.splitlines() if line.startswith("data: ")]
        result = json.loads(data.removeprefix("data: "))["result"]
        error = result["structuredContent"].get("error") if result["isError"] else None
        assert error is None or error["code"] != "internal", error
        return _TOLD_BY_CODE.get(error["code"], PASSED) if error else PASSED, error


def _ids(tool: str, run_id: str) -> dict[str, str]:
    """The ids that the tool's arguments ask for."""
    asked = TOOLS[tool].arguments.model_fields
    return {name: value for name, value in (("run_id", run_id), ("client_call_id", fresh_id())) if name in asked}


async def everybody(stack: Stack) -> Everybody:
    """All of them, new."""
    other, owner = await stack.member(), await stack.member()
    admin = await stack.member(*_BOTH, Scope.ADMIN, admin=True)
    tokens = {"other": other.token, "owner": owner.token, "admin": admin.token}
    for scope in _BOTH:
        issued = await issue_token(
            stack.deps.pool,
            agent=owner.person.agent,
            scopes=[scope],
            lifetime=timedelta(hours=1),
            resource=stack.deps.settings.resource,
        )
        tokens[scope.name.lower()] = issued.text
    task = await tasks.current(stack.deps.pool, Benchmark.TERMINAL_BENCH, TASK)
    assert task is not None
    run = await a_run(stack.deps.pool, owner=owner.person, task=task.key)
    await stack.deps.pool.execute(
        "update clawbench.runs set status = 'cancelled', why = 'over', finished_at = now() where id = $1", run.run_id
    )
    people = {"other": other.person, "owner": owner.person, "admin": admin.person}
    return Everybody(stack=stack, tokens=tokens, people=people, run=run)
