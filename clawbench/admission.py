"""Admission: how much is let in at once, so that a storm is told to come again, nobody is crowded out, and memory stays
bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clawbench.errors import OverCap

RETRY_AFTER_S = 1
LARGEST_BODY = 4 << 20
"""What the MCP SDK takes; a body of unknown length is counted as this large."""
SMALL_BODY = 64 << 10
"""A body of this size costs no more than the request itself."""
BODIES_AT_ONCE = 32 << 20
"""Larger bodies that are held at the same time, in bytes; one key may have a quarter of it."""
COUNTED_BY = "clawbench.counted_by"
"""Where ``Acquaintance`` leaves the key for ``Admission`` in the scope."""
_REMEMBERED = 10_000


class Admission:
    """Lets requests through to ``app`` while there is room; more are answered 429 with ``Retry-After``.

    ``at_once`` are let in altogether. One key has at most ``share`` of them, and never more than are still free, so
    that a newcomer finds room however many others wait. A request without a key is not counted.
    """

    def __init__(self, app: ASGIApp, *, at_once: int, share: int, key: Callable[[Scope], Hashable | None]) -> None:
        self._app = app
        self._key = key
        self._requests = _Room(at_once, share)
        self._bodies = _Room(BODIES_AT_ONCE, BODIES_AT_ONCE // 4)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = self._key(scope) if scope["type"] == "http" else None
        if key is None:
            await self._app(scope, receive, send)
            return
        size = _large_body(scope)
        if not self._requests.take(key, 1):
            await _come_again("too many requests at once", scope, receive, send)
            return
        try:
            if not self._bodies.take(key, size):
                await _come_again("too many large requests at once", scope, receive, send)
                return
            try:
                await self._app(scope, receive, send)
            finally:
                self._bodies.give_back(key, size)
        finally:
            self._requests.give_back(key, 1)


class _Room:
    """So much of something, shared among keys."""

    def __init__(self, size: int, share: int) -> None:
        self._free = size
        self._share = share
        self._taken: Counter[Hashable] = Counter()

    def take(self, key: Hashable, amount: int) -> bool:
        if amount and self._taken[key] + amount > min(self._share, self._free):
            return False
        self._taken[key] += amount
        self._free -= amount
        return True

    def give_back(self, key: Hashable, amount: int) -> None:
        self._free += amount
        self._taken[key] -= amount
        if not self._taken[key]:
            del self._taken[key]


class Acquaintance:
    """Tells whoever sends a token that was good here before from strangers, so that a flood of these takes no room
    from them. It opens no door: every token is checked each time.
    """

    def __init__(self, app: ASGIApp, *, guarded: tuple[str, ...]) -> None:
        self._app = app
        self._guarded = guarded
        """Paths that answer 2xx only to a good token."""
        self._known: dict[bytes, None] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = _token(scope) if scope["path"].startswith(self._guarded) else None

        async def seen(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 300 and token is not None:
                self._remember(token)
            await send(message)

        scope[COUNTED_BY] = "anonymous" if token is None else token if token in self._known else "stranger"
        await self._app(scope, receive, send if token is None else seen)

    def _remember(self, token: bytes) -> None:
        self._known.pop(token, None)
        self._known[token] = None
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]


def _token(scope: Scope) -> bytes | None:
    header = Headers(scope=scope).get("authorization")
    return sha256(header.encode()).digest() if header else None


def _large_body(scope: Scope) -> int:
    headers = Headers(scope=scope)
    if "transfer-encoding" in headers:
        return LARGEST_BODY
    size = min(int(headers.get("content-length", "0")), LARGEST_BODY)
    return 0 if size <= SMALL_BODY else size


async def _come_again(why: str, scope: Scope, receive: Receive, send: Send) -> None:
    """The refusal, once the body has passed by: closed on before, a client that still sends would not read it."""
    while (await receive()).get("more_body"):
        pass
    refusal = OverCap(why, hint="Send it again soon.", retry_after_s=RETRY_AFTER_S)
    body = {"ok": False, "error": refusal.as_dict()}
    await JSONResponse(body, refusal.status, refusal.headers)(scope, receive, send)
