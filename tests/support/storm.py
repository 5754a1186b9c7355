"""A storm of requests on a server, from a process of its own so that whoever watches the server is not slowed by it.

``python -m tests.support.storm PORT`` reads a token per line from stdin and prints a ``Report`` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import asdict, dataclass, field

ANSWERED_WITHIN_S = 60.0
CLOSED_WITHIN_S = 45.0
LARGE = 4 * 1024 * 1024 - 1024
BIG_HEADER = b"GET / HTTP/1.1\r\nX-Endless: " + b"a" * (2 << 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How many answers of each status each part of the storm got; 0 where the connection ended without one."""

    one_user: dict[int, int]
    many_users: dict[int, int]
    anonymous: dict[int, int]
    users_beside_anonymous: dict[int, int]
    large_bodies: dict[int, int]
    slow_bodies: dict[int, int]
    endless_headers: dict[int, int]
    silent: dict[int, int]
    untyped: list[str] = field(default_factory=list[str])
    """Refusals without a typed body, or without a time to come again where there is one."""


@dataclass(frozen=True, slots=True)
class Target:
    """The server, and what it did wrong so far."""

    port: int
    untyped: list[str]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    def head(self, token: str | None, length: int) -> bytes:
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        return (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{bearer}Content-Type: application/json\r\n"
            "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-06-18\r\n"
            f"Connection: close\r\nContent-Length: {length}\r\n\r\n"
        ).encode()

    async def answer(self, reader: asyncio.StreamReader, within_s: float) -> int:
        """The status of the answer that ends the connection."""
        async with asyncio.timeout(within_s):
            try:
                said = await reader.read()
            except ConnectionError:
                said = b""
        head, _, body = said.partition(b"\r\n\r\n")
        status = int(head.split()[1]) if head else 0
        if status in (429, 503) and (b"retry-after: " not in head.lower() or b'"retry_after_ms"' not in body):
            self.untyped.append(said[:500].decode())
        if status >= 400 and b'"code"' not in body:
            self.untyped.append(said[:500].decode())
        return status

    async def post(self, token: str | None, body: bytes) -> int:
        """One request on a connection of its own."""
        try:
            reader, writer = await self.connect()
        except OSError:
            return 0
        try:
            writer.write(self.head(token, len(body)) + body)
            return await self.answer(reader, ANSWERED_WITHIN_S)
        finally:
            writer.close()

    async def unfinished(self, sent: bytes) -> int:
        """A request that never ends; the status with which the server ends it."""
        reader, writer = await self.connect()
        try:
            writer.write(sent)
            return await self.answer(reader, CLOSED_WITHIN_S)
        finally:
            writer.close()


def call(tool: str, **arguments: object) -> bytes:
    """A tool call as it goes over the wire."""
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments},
    }
    return json.dumps(message).encode()


async def _counted(requests: Iterable[Coroutine[None, None, int]]) -> dict[int, int]:
    return dict(Counter(await asyncio.gather(*requests)))


async def storm(target: Target, tokens: list[str]) -> Report:
    """All of it: what is slow stays from the beginning to the end, the rest comes one after the other."""
    whoami = call("whoami")
    large = call("write_file", path="a", content="a" * LARGE)
    first, *others = tokens
    async with asyncio.TaskGroup() as held:
        slow = held.create_task(_counted(target.unfinished(target.head(first, 1000) + b"{") for _ in range(150)))
        headers = held.create_task(_counted(target.unfinished(BIG_HEADER) for _ in range(10)))
        silent = held.create_task(_counted(target.unfinished(b"") for _ in range(500)))
        one_user = await _counted(target.post(others[0], whoami) for _ in range(1500))
        many_users = await _counted(target.post(others[i % len(others)], whoami) for i in range(2000))
        async with asyncio.TaskGroup() as both:
            nobody = both.create_task(
                _counted(target.post("cbt_nobody" if i % 2 else None, whoami) for i in range(2000))
            )
            somebody = both.create_task(_counted(target.post(others[i % len(others)], whoami) for i in range(100)))
        large_bodies = await _counted(target.post(others[i % len(others)], large) for i in range(100))
    return Report(
        one_user=one_user,
        many_users=many_users,
        anonymous=nobody.result(),
        users_beside_anonymous=somebody.result(),
        large_bodies=large_bodies,
        slow_bodies=slow.result(),
        endless_headers=headers.result(),
        silent=silent.result(),
        untyped=target.untyped,
    )


def main() -> None:
    target = Target(int(sys.argv[1]), [])
    print(json.dumps(asdict(asyncio.run(storm(target, sys.stdin.read().split())))))  # noqa: T201


if __name__ == "__main__":
    main()
