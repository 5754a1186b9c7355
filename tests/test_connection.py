"""A connection that asks for nothing whole is ended, in time and in size."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, cast

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from clawbench import connection
from clawbench.connection import Connection, bounded_connections
from tests.support.process import free_port
from tests.support.stack import Served

HEAD = b"POST / HTTP/1.1\r\nHost: here\r\n"
WITHIN_S = 10.0
"""Less than any time that a connection has by itself."""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with how many bytes came, or at once for ``/early``, and between brackets with what ``X-Said`` was."""
    size, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    body = str(size).encode()
    said = dict(scope["headers"]).get(b"x-said", b"nothing")
    headers = [(b"content-length", b"%d" % len(body)), (b"x-heard", b"<" + said + b">")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(protocol: Any) -> AsyncGenerator[int]:
    """The echo behind connections of ours; its port."""
    port = free_port()
    server = Served(uvicorn.Config(echo, port=port, http=protocol, ws="none", lifespan="off", log_level="error"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), task.result()
        await asyncio.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        await task


async def said(port: int, *sent: bytes) -> bytes:
    """All that the server says until it ends the connection; nothing if it was reset while we still sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in sent:
            writer.write(part)
            await asyncio.sleep(0)
        async with asyncio.timeout(WITHIN_S):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("sent", [b"", b"POST / HT", HEAD, b"POST /early HTTP/1.1\r\nContent-Length: 9\r\n\r\n12"])
async def test_a_request_without_an_end_is_closed(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.2)
    async with serving(bounded_connections()) as port:
        await said(port, sent)


async def test_a_body_without_an_end_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BODY_S", 0.2)
    async with serving(bounded_connections()) as port:
        answer = await said(port, HEAD + b"Content-Length: 9\r\n\r\n1234")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"invalid_arguments"' in answer


async def test_a_head_without_an_end_is_refused_at_once() -> None:
    async with serving(bounded_connections()) as port:
        endless = HEAD + b"X: " + b"a" * (connection.LARGEST_HEAD + 1)
        assert (await said(port, endless))[:12] in (b"HTTP/1.1 431", b"")
        many = HEAD + b"X: a\r\n" * (connection.LARGEST_HEAD // 6)
        assert (await said(port, many))[:12] in (b"HTTP/1.1 431", b"")
        trailers = HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: " + b"a" * (1 << 20)
        assert (await said(port, trailers))[:12] in (b"HTTP/1.1 431", b"")


async def test_a_large_body_and_requests_behind_one_another_are_served() -> None:
    body = b"x" * 300_000
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    last = HEAD + b"Connection: close\r\nContent-Length: 1\r\n\r\nx"
    async with serving(bounded_connections()) as port:
        answers = await said(port, whole + whole + last)
    assert answers.count(b"HTTP/1.1 200") == 3
    assert answers.count(b"300000") == 2


async def test_space_around_a_headers_value_does_not_reach_the_app() -> None:
    whole = HEAD + b"Connection: close\r\nX-Said: \t a b \t \r\nContent-Length: 1\r\n\r\nx"
    async with serving(bounded_connections()) as port:
        assert b"x-heard: <a b>\r\n" in await said(port, whole)


async def test_the_longest_idle_connection_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LEAST_IDLE_S", 0)
    async with serving(partial(Connection, idle={}, most=2)) as port:
        first, second = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        assert (await said(port, HEAD + b"Connection: close\r\nContent-Length: 1\r\n\r\nx")).endswith(b"1")
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                assert await first[0].read() == b""
        assert not second[0].at_eof()
        for _, writer in (first, second):
            writer.close()


def test_connections_leave_descriptors_for_everything_else() -> None:
    protocol = cast("partial[Connection]", bounded_connections())
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert protocol.keywords["most"] <= soft // 2
