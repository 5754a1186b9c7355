"""A storm of requests is told to come again; what is inside goes on, and health is seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import httpx2
from pytest_asyncio import fixture as async_fixture
from starlette.types import Receive, Scope, Send

from clawbench.admission import BODIES_AT_ONCE, COUNTED_BY, LARGEST_BODY, Acquaintance, Admission


class Gate:
    """An app whose requests wait until they are let go."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.entered = asyncio.Semaphore(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send, status: int = 200) -> None:
        self.entered.release()
        await self.open.wait()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"through"})


@async_fixture
async def gate() -> Gate:
    return Gate()


@async_fixture
async def client(gate: Gate) -> AsyncGenerator[httpx2.AsyncClient]:
    app = Admission(gate, at_once=6, share=2, key=lambda scope: scope["path"])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as opened:
        yield opened


async def test_one_request_too_many_is_told_when_to_come_again(client: httpx2.AsyncClient, gate: Gate) -> None:
    inside = [asyncio.create_task(client.get("/mcp")) for _ in range(2)]
    for _ in inside:
        await gate.entered.acquire()

    refused = await client.get("/mcp")

    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "over_cap"
    gate.open.set()
    assert [answer.status_code for answer in await asyncio.gather(*inside)] == [200, 200]


async def test_another_key_has_room_of_its_own(client: httpx2.AsyncClient, gate: Gate) -> None:
    inside = [asyncio.create_task(client.get("/mcp")) for _ in range(2)]
    for _ in inside:
        await gate.entered.acquire()
    gate.open.set()

    assert (await client.get("/other")).status_code == 200
    await asyncio.gather(*inside)


async def test_whoever_has_much_leaves_room_for_a_newcomer(gate: Gate) -> None:
    app = Admission(gate, at_once=8, share=8, key=lambda scope: scope["path"])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        asked = [asyncio.create_task(client.get(f"/{name}")) for name in "aaaaaaaabbbbbbbb"]
        for _ in range(6):
            await gate.entered.acquire()
        newcomer = asyncio.create_task(client.get("/c"))
        gate.open.set()
        assert (await newcomer).status_code == 200
        answers = [answer.status_code for answer in await asyncio.gather(*asked)]
    assert answers.count(200) == 6


async def test_large_bodies_are_counted_by_their_bytes(gate: Gate) -> None:
    app = Admission(gate, at_once=100, share=100, key=lambda scope: "one")
    large = b"x" * LARGEST_BODY
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        room = BODIES_AT_ONCE // 4 // LARGEST_BODY
        inside = [asyncio.create_task(client.post("/", content=large)) for _ in range(room)]
        for _ in inside:
            await gate.entered.acquire()
        refused = await client.post("/", content=large)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        small = asyncio.create_task(client.post("/", content=b"x"))
        gate.open.set()
        assert {answer.status_code for answer in await asyncio.gather(*inside, small)} == {200}


async def test_strangers_take_no_room_from_a_token_that_was_good_here() -> None:
    inside = Gate()

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        good = (b"authorization", b"Bearer good") in scope["headers"]
        if good:
            inside.open.set()
        await inside(scope, receive, send, 200 if good else 401)

    admission = Admission(guarded, at_once=6, share=2, key=lambda scope: scope[COUNTED_BY])
    app = Acquaintance(admission, guarded=("/mcp",))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        good = {"Authorization": "Bearer good"}
        assert (await client.get("/mcp", headers=good)).status_code == 200
        inside.open.clear()
        strangers = [asyncio.create_task(client.get("/mcp", headers={"Authorization": f"{i}"})) for i in range(4)]
        for _ in range(2):
            await inside.entered.acquire()
        assert (await client.get("/mcp", headers=good)).status_code == 200
        assert sorted(answer.status_code for answer in await asyncio.gather(*strangers)) == [401, 401, 429, 429]


async def test_room_is_given_back_also_by_requests_that_were_given_up(client: httpx2.AsyncClient, gate: Gate) -> None:
    given_up = [asyncio.create_task(client.get("/mcp")) for _ in range(2)]
    for task in given_up:
        await gate.entered.acquire()
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)
    gate.open.set()

    assert (await client.get("/mcp")).status_code == 200
