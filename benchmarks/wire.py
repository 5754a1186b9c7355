"""HTTP/1.1 on one kept-alive connection, so that the measuring itself costs next to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from mcp_types import CLIENT_CAPABILITIES_META_KEY, PROTOCOL_VERSION_META_KEY

REVISION = "2026-07-28"


@dataclass(frozen=True, slots=True)
class Wire:
    """A connection to a server; one request at a time."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
        """The JSON that the server answers; None where it answers none."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Content-Type: application/json"]
        lines += [
            f"Content-Length: {len(content)}",
            *(f"{k}: {v}" for k, v in ({"Host": "local"} | (headers or {})).items()),
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split()[1])
        said = await self._body(head)
        assert status < 300, (status, said)
        return json.loads(said) if said else None

    async def _body(self, head: bytes) -> bytes:
        if b"transfer-encoding: chunked" not in head:
            _, _, length = head.partition(b"content-length: ")
            return await self.reader.readexactly(int(length.split(b"\r\n")[0])) if length else b""
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return body


@contextlib.asynccontextmanager
async def connected(address: int | str) -> AsyncGenerator[Wire]:
    """A connection to a port of this host, or to a socket's path."""
    if isinstance(address, int):
        reader, writer = await asyncio.open_connection("127.0.0.1", address)
    else:
        reader, writer = await asyncio.open_unix_connection(address)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


async def call(wire: Wire, port: int, token: str | None, tool: str, /, **arguments: object) -> dict[str, Any]:
    """One tool call in the newest revision of MCP, which must succeed; its structured answer."""
    headers = {
        "Host": f"127.0.0.1:{port}",
        "Accept": "application/json, text/event-stream",
        "Mcp-Protocol-Version": REVISION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
        **({"Authorization": f"Bearer {token}"} if token else {}),
    }
    meta: dict[str, object] = {PROTOCOL_VERSION_META_KEY: REVISION, CLIENT_CAPABILITIES_META_KEY: {}}
    params: dict[str, object] = {"name": tool, "arguments": arguments, "_meta": meta}
    said = await wire.send(
        "POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, headers
    )
    assert not said["result"].get("isError"), said
    return said["result"].get("structuredContent", {})
