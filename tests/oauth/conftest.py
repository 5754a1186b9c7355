"""A person at a signed-in browser, which plays the client's part as well."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest_asyncio

from clawbench.store.db import Pool
from tests.sign_in_app import Person, app_on, browser_of, set_up, somebody


@pytest_asyncio.fixture
async def person(pool: Pool) -> Person:
    return await somebody(pool)


@pytest_asyncio.fixture
async def browser(pool: Pool, person: Person) -> AsyncIterator[httpx2.AsyncClient]:
    async with browser_of(app_on(pool)) as browser:
        await set_up(browser, person)
        yield browser
