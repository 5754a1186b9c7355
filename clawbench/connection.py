"""A connection, before its request is whole: how long that may take, how large its head may be, how many there may be.

uvicorn sets no such bounds: one client that never ended its headers would take memory and time without limit.
"""

from __future__ import annotations

import asyncio
import json
import resource
from functools import partial
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clawbench.errors import InvalidArguments

HEAD_S = 15.0
"""From a connection's begin, or its last answer, to the end of a request's head."""
BODY_S = 20.0
"""The same for the body, and a second more for each ``SLOWEST_BODY`` bytes of it."""
SLOWEST_BODY = 32 << 10
LARGEST_HEAD = 64 << 10
MOST_CONNECTIONS = 4096
LEAST_IDLE_S = 1.0
"""No connection makes room for another before it had so long to send something."""


def bounded_connections() -> type[asyncio.Protocol]:
    """What uvicorn makes for every connection of one server.

    At most half of the descriptors that the system grants are connections; Postgres, engine and files have the rest.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    granted = max(soft, min(hard, 2 * MOST_CONNECTIONS))
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    idle: dict[Connection, float] = {}
    return cast(type[asyncio.Protocol], partial(Connection, idle=idle, most=min(MOST_CONNECTIONS, granted // 2)))


class Connection(HttpToolsProtocol):
    """One client's connection. Beyond ``most``, the one that has been idle the longest makes room for a new one."""

    def __init__(self, *args: Any, idle: dict[Connection, float], most: int, **more: Any) -> None:
        super().__init__(*args, **more)
        self._idle = idle
        """The server's connections that wait for a request and since when, the longest waiting first."""
        self._most = most
        self._timer: asyncio.TimerHandle | None = None
        self._begun = 0.0
        self._received = 0
        self._unread = 0
        """Bytes that came and are neither a whole head nor body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._await_request()
        oldest, since = next(iter(self._idle.items()))
        if len(self.connections) > self._most and self.loop.time() - since > LEAST_IDLE_S:
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._idle.pop(self, None)
        self._within(None)

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > LARGEST_HEAD:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's headers are too large")

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value.rstrip(b" \t"))  # httptools leaves the space that is not part of it (RFC 9110)

    def on_headers_complete(self) -> None:
        self._idle.pop(self, None)
        self._unread = self._received = 0
        self._begun = self.loop.time()
        self._within(BODY_S)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        self._received += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self not in self._idle:  # answered before its body had come
            self._within(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # else a request that came behind it is next
            self._await_request()

    def _await_request(self) -> None:
        self._idle[self] = self.loop.time()
        self._within(HEAD_S)

    def _within(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._overdue)

    def _overdue(self) -> None:
        if self in self._idle:
            self.transport.close()
            return
        left = self._begun + BODY_S + self._received / SLOWEST_BODY - self.loop.time()
        if left > 0 or self.flow.read_paused:
            self._within(max(left, 1))
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request's body took too long to come")

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:  # pyright: ignore[reportUnnecessaryComparison]
            body = json.dumps({"ok": False, "error": InvalidArguments(why).as_dict()})
            self.transport.write(
                f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/json\r\nconnection: close\r\n"
                f"content-length: {len(body)}\r\n\r\n{body}".encode()
            )
        self.transport.close()
