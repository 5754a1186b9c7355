"""One installation with one shipped task, for every journey of the session."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from pytest_asyncio import fixture as async_fixture

from clawbench.store import installation as row
from clawbench.store.embedded.server import embedded_postgres
from clawbench.store.pool import connect
from tests.support.engine import left_of, remove_containers_of
from tests.support.process import SETUP_LINE, Installation

TASK = "conveyor-shifts"


@async_fixture(scope="session")
async def installation(open_dir: Path) -> AsyncGenerator[Installation]:
    """A server on a data directory of its own, with the task imported; stopped at the end, with nothing left."""
    installation = Installation(directory=open_dir / "journeys")
    first = await installation.up()
    async with embedded_postgres(installation.directory) as url, connect(url) as conn:
        instance = str(await row.id_of(conn))
    try:
        assert first == f"ready: {installation.url}\n"
        imported = await installation.ok("bench", "import", "--only", TASK)
        assert imported.splitlines() == [
            f"{TASK}: doing nothing scores 0",
            f"{TASK}: the reference solution scores 1",
            f"{TASK}: ready",
        ]
        yield installation
        assert await left_of(instance) == []
        rest = await installation.down()
        assert not rest or SETUP_LINE.fullmatch(rest), "after the ready line at most a setup link"
    finally:
        await installation.kill()
        await remove_containers_of(instance)
