"""A proxy that adds a bearer token to every request, for a client that cannot send one; it changes nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

_LARGEST_HEAD = 64 * 1024


@contextlib.asynccontextmanager
async def with_bearer(url: str, token: str) -> AsyncGenerator[str]:
    """The URL at which everything is as at ``url``, and every request is signed in.

    It works on bytes: the suite also sends headers that an HTTP client would put right or refuse to send.
    """
    to = urlsplit(url)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            far_reader, far_writer = await asyncio.open_connection(to.hostname, to.port)
            far_writer.write(_signed_in(head, token))
            there = asyncio.create_task(_pumped(reader, far_writer))
            await _pumped(far_reader, writer)
            there.cancel()
            far_writer.close()
        writer.close()

    server = await asyncio.start_server(carry, "127.0.0.1", 0, limit=_LARGEST_HEAD)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _signed_in(head: bytes, token: str) -> bytes:
    """With the token, and with one request only on this connection, so that each gets it."""
    request, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    kept = [line for line in lines if line.partition(b":")[0].lower() not in (b"authorization", b"connection")]
    return b"\r\n".join([request, *kept, f"Authorization: Bearer {token}".encode(), b"Connection: close", b"", b""])


async def _pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
