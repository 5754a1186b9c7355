"""The installation that is measured: ``clawbench up`` in a process of its own, with one tiny task and one person."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.wire import Wire, call, connected
from clawbench.model.caller import Scope
from clawbench.oauth.bearer import issue_token
from clawbench.store import installation as row
from clawbench.store.db import Pool
from clawbench.store.embedded.server import embedded_postgres
from clawbench.store.pool import open_pool
from tests.sign_in_app import somebody
from tests.support.engine import remove_containers_of
from tests.support.process import Installation
from tests.support.tasks import write_task

TASK = "answer"
ROOM = {
    "CLAWBENCH_RUNS_AT_ONCE": "100",
    "CLAWBENCH_RUNS_AT_ONCE_PER_USER": "100",
    "CLAWBENCH_RUNS_A_DAY": "10000",
    "CLAWBENCH_CALLS_PER_RUN": "1000000",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where the server is, and who calls it."""

    port: int
    pid: int
    token: str
    pool: Pool
    """The server's own Postgres, for what is measured at the store."""

    async def call(self, wire: Wire, tool: str, /, **arguments: object) -> dict[str, Any]:
        return await call(wire, self.port, self.token, tool, **arguments)

    async def command(self, wire: Wire, run_id: str, call_id: str | None = None) -> None:
        """One command in the run's sandbox, which does nothing."""
        await self.call(wire, "run_command", run_id=run_id, client_call_id=call_id or uuid4().hex, command="true")

    async def run(self, wire: Wire) -> str:
        """A new running run."""
        arguments = {"benchmark": "terminal-bench", "task_id": TASK, "client_call_id": uuid4().hex}
        return (await self.call(wire, "start_run", **arguments))["run_id"]

    @contextlib.asynccontextmanager
    async def runs(self, count: int) -> AsyncGenerator[list[str]]:
        """So many running runs, cancelled at the end."""
        async with connected(self.port) as wire:
            made = [await self.run(wire) for _ in range(count)]
        yield made
        async with connected(self.port) as wire:
            for run_id in made:
                await self.call(wire, "cancel_run", run_id=run_id, client_call_id=uuid4().hex)


@contextlib.asynccontextmanager
async def opened(*, with_task: bool) -> AsyncGenerator[World]:
    """All of it in a temporary directory; neither sandbox nor process is left at the end."""
    with tempfile.TemporaryDirectory(prefix="clawbench-bench-") as made:
        os.chmod(made, 0o711)  # noqa: PTH101, S103
        server = Installation(directory=Path(made) / "data", more=ROOM)
        try:
            await server.up()
            assert server.server is not None
            if with_task:
                await server.ok("bench", "import", str(write_task(Path(made), TASK)))
            async with embedded_postgres(server.directory) as url:
                pool = await open_pool(url, max_size=20)
                instance = str(await row.id_of(pool))
                try:
                    token = await _token(pool, f"{server.url}/mcp")
                    yield World(port=server.port, pid=server.server.pid, token=token, pool=pool)
                finally:
                    await pool.close()
                    await server.down()
                    await remove_containers_of(instance)
        finally:
            await server.kill()


async def _token(pool: Pool, resource: str) -> str:
    person = await somebody(pool)
    scopes = (Scope.READ, Scope.RUN)
    issued = await issue_token(pool, agent=person.agent, scopes=scopes, lifetime=timedelta(hours=8), resource=resource)
    return issued.text
