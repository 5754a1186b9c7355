"""Trading and giving back tokens, against the real server, also over a bad line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
import pytest_asyncio
from starlette.applications import Starlette

from clawbench.credentials import Profile
from clawbench.device_login import Prompt, log_in
from clawbench.errors import NotAuthenticated, Refused, Unavailable
from clawbench.model.secret import typed
from clawbench.oauth.bearer import authenticate
from clawbench.store.db import Pool
from clawbench.store.device_codes import approve_device_code, undecided_device_code
from clawbench.token_client import identity, renew, revoke
from tests.sign_in_app import ORIGIN, app_on, browser_of, somebody


class BadLine(httpx2.AsyncBaseTransport):
    """Brings every request to the server, and loses the answers that it is told to lose."""

    def __init__(self, app: Starlette, lost: Callable[[httpx2.Request], bool]) -> None:
        self._whole = httpx2.ASGITransport(app=app)
        self._lost = lost

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._whole.handle_async_request(request)
        if self._lost(request):
            raise httpx2.ReadError("the line went dead", request=request)
        return answer


@pytest_asyncio.fixture
async def app(pool: Pool) -> Starlette:
    return app_on(pool)


@pytest_asyncio.fixture
async def client(app: Starlette) -> AsyncIterator[httpx2.AsyncClient]:
    async with browser_of(app) as client:
        yield client


@pytest_asyncio.fixture
async def profile(pool: Pool, client: httpx2.AsyncClient) -> Profile:
    person = await somebody(pool)
    shown: list[Prompt] = []

    async def decide(_: float) -> None:
        waiting = await undecided_device_code(pool, typed(shown[0].code))
        assert waiting is not None
        assert await approve_device_code(pool, waiting.id, user_id=person.user.id, agent_id=person.agent.id)

    return await log_in(ORIGIN, shown.append, client=client, sleep=decide)


async def works(pool: Pool, profile: Profile) -> bool:
    try:
        caller = await authenticate(pool, f"{ORIGIN}/mcp", f"Bearer {profile.access_token}")
    except NotAuthenticated:
        return False
    return caller.agent_name == profile.agent_name


async def test_a_renewed_sign_in_has_new_tokens_and_is_otherwise_the_same(
    client: httpx2.AsyncClient, pool: Pool, profile: Profile
) -> None:
    renewed = await renew(profile, client=client)
    assert {renewed.access_token, renewed.refresh_token}.isdisjoint({profile.access_token, profile.refresh_token})
    assert (renewed.server, renewed.agent_name, renewed.scopes) == (ORIGIN, profile.agent_name, profile.scopes)
    assert timedelta(minutes=59) < renewed.expires_at - datetime.now(UTC) <= timedelta(hours=1)
    assert await works(pool, renewed)


async def test_an_answer_that_is_lost_is_asked_for_again_and_costs_nobody_the_sign_in(
    app: Starlette, pool: Pool, profile: Profile
) -> None:
    losses = ["/oauth/token"]

    def first_of_the_tokens(request: httpx2.Request) -> bool:
        return request.url.path in losses and losses.pop() == request.url.path

    async with httpx2.AsyncClient(transport=BadLine(app, first_of_the_tokens)) as client:
        renewed = await renew(await renew(profile, client=client), client=client)
    assert losses == []
    assert await works(pool, renewed)


async def test_a_line_that_stays_dead_is_told_as_such(app: Starlette, profile: Profile) -> None:
    async with httpx2.AsyncClient(transport=BadLine(app, lambda request: True)) as client:
        for act in (renew, revoke):
            with pytest.raises(Unavailable, match="does not answer"):
                await act(profile, client=client)


async def test_a_refresh_token_that_is_no_good_needs_a_new_sign_in(
    client: httpx2.AsyncClient, profile: Profile
) -> None:
    for token in ("cbr_unknown", None):
        with pytest.raises(NotAuthenticated) as told:
            await renew(replace(profile, refresh_token=token), client=client)
        assert told.value.what_next == f"clawbench login --server {ORIGIN}"


async def test_what_is_given_back_ends_the_whole_sign_in(
    client: httpx2.AsyncClient, pool: Pool, profile: Profile
) -> None:
    renewed = await renew(profile, client=client)
    await revoke(renewed, client=client)
    assert not await works(pool, profile)
    assert not await works(pool, renewed)
    with pytest.raises(NotAuthenticated):
        await renew(renewed, client=client)


async def test_without_a_refresh_token_the_access_token_is_given_back(
    client: httpx2.AsyncClient, pool: Pool, profile: Profile
) -> None:
    await revoke(replace(profile, refresh_token=None), client=client)
    assert not await works(pool, profile)


async def test_what_a_server_says_of_a_person_cannot_act_on_their_terminal(profile: Profile) -> None:
    def evil(request: httpx2.Request) -> httpx2.Response:
        data = {"user": "\x1b]0;owned\x07", "agent": "Tester_agent", "scopes": ["clawbench:read"]}
        return httpx2.Response(200, json={"ok": True, "data": data})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(evil)) as line:
        with pytest.raises(Unavailable, match="does not answer as a ClawBench server does"):
            await identity(profile, client=line)


@pytest.mark.parametrize("named", ["http://clawbench.test/oauth/token", "https://clawbench.test.evil.test/oauth/token"])
async def test_a_server_that_names_a_token_endpoint_elsewhere_is_sent_nothing(named: str) -> None:
    asked = list[str]()

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        told = {
            "issuer": ORIGIN,
            "device_authorization_endpoint": f"{ORIGIN}/oauth/device_authorization",
            "token_endpoint": named,
        }
        return httpx2.Response(200, json=told)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        with pytest.raises(Refused, match="elsewhere"):
            await log_in(ORIGIN, lambda _: None, client=client)
    assert asked == ["/.well-known/oauth-authorization-server"]
