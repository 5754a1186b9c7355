"""The terminal's side of signing in, against the real server."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from clawbench.device_login import Prompt, log_in
from clawbench.errors import ClawBenchError, InvalidArguments, NotPermitted, Refused, Unavailable
from clawbench.model.secret import typed
from clawbench.oauth.bearer import authenticate
from clawbench.store.db import Pool
from clawbench.store.device_codes import approve_device_code, deny_device_code, undecided_device_code
from tests.sign_in_app import ORIGIN, Person, app_on, browser_of, somebody

Step = Callable[[], Awaitable[object]]


class Terminal:
    """Somebody at a terminal: what was shown, how long was waited, and what happens meanwhile."""

    def __init__(self, *meanwhile: Step) -> None:
        self.prompt: Prompt | None = None
        self.waited: list[float] = []
        self._meanwhile = list(meanwhile)

    def tell(self, prompt: Prompt) -> None:
        self.prompt = prompt

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        if self._meanwhile:
            await self._meanwhile.pop(0)()


@pytest_asyncio.fixture
async def person(pool: Pool) -> Person:
    return await somebody(pool)


@pytest_asyncio.fixture
async def client(pool: Pool) -> AsyncIterator[httpx2.AsyncClient]:
    async with browser_of(app_on(pool)) as client:
        yield client


async def nothing() -> None:
    """Time passes."""


async def approve(pool: Pool, terminal: Terminal, person: Person) -> None:
    assert terminal.prompt is not None
    waiting = await undecided_device_code(pool, typed(terminal.prompt.code))
    assert waiting is not None
    assert await approve_device_code(pool, waiting.id, user_id=person.user.id, agent_id=person.agent.id)


async def test_a_person_approves_and_the_terminal_has_a_token(
    client: httpx2.AsyncClient, pool: Pool, person: Person
) -> None:
    terminal = Terminal(nothing, lambda: approve(pool, terminal, person))
    profile = await log_in(
        f"{ORIGIN}/", terminal.tell, agent_name=person.agent.name, client=client, sleep=terminal.sleep
    )
    assert terminal.prompt is not None
    assert terminal.prompt.url_with_code == f"{ORIGIN}/device?user_code={terminal.prompt.code}"
    assert (profile.server, profile.agent_name) == (ORIGIN, person.agent.name)
    assert profile.scopes == ("clawbench:read", "clawbench:run")
    assert timedelta(minutes=59) < profile.expires_at - datetime.now(UTC) <= timedelta(hours=1)
    caller = await authenticate(pool, f"{ORIGIN}/mcp", f"Bearer {profile.access_token}")
    assert caller.agent_id == person.agent.id


async def test_the_terminal_slows_down_when_told(client: httpx2.AsyncClient, pool: Pool, person: Person) -> None:
    terminal = Terminal(nothing, nothing, lambda: approve(pool, terminal, person))
    await log_in(ORIGIN, terminal.tell, client=client, sleep=terminal.sleep)
    assert terminal.waited == [5, 5, 10]


async def test_a_denial_ends_the_waiting(client: httpx2.AsyncClient, pool: Pool, person: Person) -> None:
    async def deny() -> None:
        assert terminal.prompt is not None
        waiting = await undecided_device_code(pool, typed(terminal.prompt.code))
        assert waiting is not None
        await deny_device_code(pool, waiting.id, user_id=person.user.id)

    terminal = Terminal(deny)
    with pytest.raises(NotPermitted, match="denied"):
        await log_in(ORIGIN, terminal.tell, client=client, sleep=terminal.sleep)


async def test_an_expired_code_ends_the_waiting(client: httpx2.AsyncClient, pool: Pool) -> None:
    terminal = Terminal(lambda: pool.execute("update clawbench.device_codes set expires_at = now()"))
    with pytest.raises(Refused, match="in time"):
        await log_in(ORIGIN, terminal.tell, client=client, sleep=terminal.sleep)


async def test_what_the_server_refuses_is_told(client: httpx2.AsyncClient) -> None:
    with pytest.raises(Refused, match="invalid_request agent_name"):
        await log_in(ORIGIN, Terminal().tell, agent_name="no good name", client=client)


async def test_a_server_under_another_name_is_told_by_its_own(pool: Pool) -> None:
    async with browser_of(app_on(pool), origin="https://alias.test") as client:
        with pytest.raises(Refused, match=f"calls itself {re.escape(ORIGIN)}"):
            await log_in("https://alias.test", Terminal().tell, client=client)


async def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        await log_in("http://127.0.0.1:1", Terminal().tell)
    with pytest.raises(InvalidArguments):
        await log_in("not a url", Terminal().tell)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (PlainTextResponse("<html>"), Unavailable),
        (PlainTextResponse("nothing here", 404), Refused),
        (PlainTextResponse("broken", 502), Unavailable),
        (JSONResponse({"issuer": ORIGIN}), Unavailable),
        (JSONResponse({"issuer": "\x1b[2Jhttps://clawbench.test"}), Unavailable),
    ],
)
async def test_a_server_that_is_not_clawbench_is_told(answer: Response, error: type[ClawBenchError]) -> None:
    async def anything(request: Request) -> Response:
        return answer

    async with browser_of(Starlette(routes=[Route("/{path:path}", anything)])) as client:
        with pytest.raises(error):
            await log_in(ORIGIN, Terminal().tell, client=client)
