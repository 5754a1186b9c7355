"""A relay between a client and what it speaks to, which can go, fall silent, lag, and break off half-way."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal, Self

_PIECE = 1 << 16
_AT_ONCE = struct.pack("ii", 1, 0)
"""``SO_LINGER``: what is closed is reset."""

Serve = Callable[[StreamReader, StreamWriter], Awaitable[None]]
Listen = Callable[[Serve], Awaitable[asyncio.Server]]
Dial = Callable[[], Awaitable[tuple[StreamReader, StreamWriter]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of every connection."""

    up: int | None = None
    """So many bytes reach the other side; None: all."""
    down: int | None = None
    """So many come back."""
    then: Literal["silent", "reset"] = "reset"
    """After that: nothing is carried any more in either direction and nobody is told, or both sides are reset."""
    lag_s: float = 0.0
    """How late every piece is."""


WELL = Fate()


def bad_line(mind: Random) -> tuple[str, Fate]:
    """A fate for one request over HTTP, and what to call it."""
    return mind.choice(
        (
            ("client half-open, its request cut", Fate(up=mind.randint(1, 700), then="silent")),
            ("client half-open, no answer comes", Fate(down=0, then="silent")),
            ("answer reset half-way", Fate(down=mind.randint(1, 400), then="reset")),
            ("client lagging", Fate(lag_s=mind.uniform(0.05, 0.4))),
        )
    )


@dataclass(eq=False, slots=True)
class _Line:
    """One connection, both halves of it."""

    ends: tuple[StreamWriter, StreamWriter]
    flowing: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        for end in self.ends:
            _reset(end)
        self.flowing.set()


class Relay:
    """Carries bytes from whoever connects to the one that it dials, and back."""

    def __init__(self, listen: Listen, dial: Dial, fate: Fate = WELL) -> None:
        self._listen, self._dial, self._fate = listen, dial, fate
        self._server: asyncio.Server | None = None
        self._lines = set[_Line]()
        self._flows = True
        self.struck = 0
        """How many connections met their fate."""

    @classmethod
    def to_port(cls, port: int, fate: Fate) -> Self:
        """Before a server on this machine."""
        return cls(
            lambda serve: asyncio.start_server(serve, "127.0.0.1", 0),
            lambda: asyncio.open_connection("127.0.0.1", port),
            fate,
        )

    @classmethod
    def to_socket(cls, here: Path, there: str) -> Self:
        """Before something that listens on a socket in the file system."""
        return cls(
            lambda serve: asyncio.start_unix_server(serve, here),
            lambda: asyncio.open_unix_connection(there),
        )

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.sockets[0].getsockname()[1]

    async def up(self) -> None:
        """Take connections and carry what is sent, also what was held back meanwhile."""
        self._flows = True
        for line in self._lines:
            line.flowing.set()
        if self._server is None:
            self._server = await self._listen(self._serve)

    def down(self) -> None:
        """Nobody listens any more, and every connection is reset."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Every connection is reset; new ones are taken."""
        for line in list(self._lines):
            line.reset()

    def silence(self) -> None:
        """Connections are taken and kept, and nothing is carried."""
        self._flows = False
        for line in self._lines:
            line.flowing.clear()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            there_reader, there_writer = await self._dial()
        except OSError:
            _reset(writer)
            return
        line = _Line((writer, there_writer))
        self._lines.add(line)
        if self._flows:
            line.flowing.set()
        try:
            await asyncio.gather(
                self._carry(line, reader, there_writer, self._fate.up),
                self._carry(line, there_reader, writer, self._fate.down),
            )
        finally:
            self._lines.discard(line)
            for end in line.ends:
                end.close()

    async def _carry(self, line: _Line, source: StreamReader, sink: StreamWriter, most: int | None) -> None:
        try:
            while piece := await source.read(_PIECE):
                await asyncio.sleep(self._fate.lag_s)
                await line.flowing.wait()
                sink.write(piece[:most])
                await sink.drain()
                if most is not None and (most := most - len(piece)) < 0:
                    self._strike(line)
                    await line.flowing.wait()
                    return
            await line.flowing.wait()
            sink.write_eof()
        except OSError:
            line.reset()

    def _strike(self, line: _Line) -> None:
        self.struck += 1
        if self._fate.then == "silent":
            line.flowing.clear()
        else:
            line.reset()


def _reset(end: StreamWriter) -> None:
    sock: socket.socket = end.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    end.transport.abort()
