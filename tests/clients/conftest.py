"""One installation with one person, and for the clients one shipped task and a home of its own for each."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from pytest_asyncio import fixture as async_fixture

from clawbench.benchmarks.terminal_bench import SHIPPED_TASKS
from clawbench.store import installation as row
from clawbench.store.agents import create_agent
from clawbench.store.embedded.server import embedded_postgres
from clawbench.store.pool import OpenPool, open_pool
from clawbench.store.users import user_named
from tests.clients.browser import AGENT, PERSON, at_browser
from tests.clients.npm import client_packages
from tests.clients.programs import Place
from tests.support.engine import left_of, remove_containers_of
from tests.support.process import Installation

TASK = "almanac-history"
SOLUTION = SHIPPED_TASKS / TASK / "solution" / "solve.sh"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A server, its database, and a person who has an agent, and a browser open at the server."""

    installation: Installation
    pool: OpenPool
    browser: httpx2.AsyncClient


@async_fixture(scope="session")
async def packages() -> Path:
    """The clients; the first time they are fetched."""
    return await client_packages()


@async_fixture(scope="session")
async def world(open_dir: Path) -> AsyncGenerator[World]:
    """A real server process, stopped at the end with nothing left."""
    installation = Installation(directory=open_dir / "clients")
    await installation.up()
    try:
        async with embedded_postgres(installation.directory) as url:
            pool = await open_pool(url)
            instance = str(await row.id_of(pool))
            try:
                setup = (await installation.ok("admin", "user", PERSON)).strip()
                person = await user_named(pool, PERSON)
                assert person is not None
                await create_agent(pool, owner_id=person.id, name=AGENT)
                async with at_browser(installation.url, setup) as browser:
                    yield World(installation=installation, pool=pool, browser=browser)
                assert await left_of(instance) == []
            finally:
                await pool.close()
                await remove_containers_of(instance)
        await installation.down()
    finally:
        await installation.kill()


@async_fixture(scope="session")
async def task(world: World) -> str:
    """A task that the server has."""
    await world.installation.ok("bench", "import", "--only", TASK)
    return TASK


@pytest.fixture
def place(request: pytest.FixtureRequest, open_dir: Path, world: World, task: str, packages: Path) -> Place:
    """An empty home; the server that it is about has a task."""
    del task
    home = open_dir / "homes" / str(abs(hash(request.node.name)))
    shutil.rmtree(home, ignore_errors=True)
    place = Place(packages=packages, home=home, server=world.installation.url)
    place.prepare()
    return place
