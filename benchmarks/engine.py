"""Raw: what Docker's Engine API itself costs, without any of ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from time import perf_counter
from uuid import uuid4

from benchmarks.wire import Wire, connected

SOCKET = "/var/run/docker.sock"
IMAGE = "clawbench/base:bookworm"
LABELS = {"clawbench.benchmark": "raw"}
COMMAND = ["sh", "-c", "true"]


@contextlib.asynccontextmanager
async def container() -> AsyncGenerator[str]:
    """A container that does nothing, gone at the end."""
    async with connected(SOCKET) as engine:
        made = await _container(engine, ["sleep", "3600"])
        try:
            yield made
        finally:
            await engine.send("DELETE", f"/containers/{made}?force=1")


async def executed(container_id: str, count: int, clients: int = 1) -> list[float]:
    """Seconds of each of ``count`` raw execs, by so many clients at once."""

    async def client() -> list[float]:
        async with connected(SOCKET) as engine:
            return [await _executed(engine, container_id) for _ in range(max(1, count // clients))]

    return [took for each in await asyncio.gather(*(client() for _ in range(clients))) for took in each]


async def started_cold() -> float:
    """Seconds to make and start a container and run the first command in it."""
    async with connected(SOCKET) as engine:
        begun = perf_counter()
        made = await _container(engine, ["sleep", "3600"])
        try:
            await _executed(engine, made)
            return perf_counter() - begun
        finally:
            await engine.send("DELETE", f"/containers/{made}?force=1")


async def _container(engine: Wire, command: list[str]) -> str:
    body = {"Image": IMAGE, "Cmd": command, "Labels": LABELS}
    made = await engine.send("POST", f"/containers/create?name=clawbench-raw-{uuid4().hex[:12]}", body)
    await engine.send("POST", f"/containers/{made['Id']}/start")
    return made["Id"]


async def _executed(engine: Wire, container_id: str) -> float:
    begun = perf_counter()
    body = {"Cmd": COMMAND, "AttachStdout": True, "AttachStderr": True}
    made = (await engine.send("POST", f"/containers/{container_id}/exec", body))["Id"]
    async with connected(SOCKET) as attached:  # the engine closes what it streamed the output on
        attached.writer.write(
            f"POST /exec/{made}/start HTTP/1.1\r\nHost: local\r\nContent-Type: application/json\r\n"
            "Content-Length: 2\r\n\r\n{}".encode()
        )
        await attached.reader.read()
    assert (await engine.send("GET", f"/exec/{made}/json"))["ExitCode"] == 0
    return perf_counter() - begun
