"""A relay between a client and a server that can keep the end of a connection to itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A way to a server on which every byte passes at once."""

    url: str
    goodbyes: asyncio.Event = field(default_factory=asyncio.Event)
    """Until it is set, the end of a connection does not reach the client."""


@contextlib.asynccontextmanager
async def relayed(url: str) -> AsyncGenerator[Relay]:
    """A relay to the server that the URL names."""
    to = urlsplit(url)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(to.hostname, to.port)
        there = asyncio.create_task(_pumped(reader, far_writer))
        await _pumped(far_reader, writer)
        await relay.goodbyes.wait()
        for each in (writer, far_writer):
            each.close()
        await there

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    relay = Relay(url=to._replace(netloc=f"{to.username}:{to.password}@127.0.0.1:{port}").geturl())
    async with server:
        try:
            yield relay
        finally:
            relay.goodbyes.set()


async def _pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
