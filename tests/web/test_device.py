"""A person sees what a program asks for, and says yes as one of their agents, or no."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest_asyncio

from clawbench.model.secret import typed
from clawbench.store.agents import agents_of
from clawbench.store.db import Pool
from clawbench.web.device import WRONG_CODES
from tests.sign_in_app import Person, app_on, browser_of, fresh_name, send, set_up, somebody

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest_asyncio.fixture
async def person(pool: Pool) -> Person:
    return await somebody(pool)


@pytest_asyncio.fixture
async def browser(pool: Pool, person: Person) -> AsyncIterator[httpx2.AsyncClient]:
    async with browser_of(app_on(pool)) as browser:
        await set_up(browser, person)
        yield browser


async def asked(browser: httpx2.AsyncClient, **fields: str) -> dict[str, Any]:
    answer = await browser.post("/oauth/device_authorization", data={"client_id": "clawbench-cli", **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def polled(browser: httpx2.AsyncClient, code: dict[str, Any]) -> dict[str, Any]:
    fields = {"grant_type": GRANT, "client_id": "clawbench-cli", "device_code": code["device_code"]}
    return (await browser.post("/oauth/token", data=fields)).json()


async def decide(browser: httpx2.AsyncClient, code: dict[str, Any], **fields: str) -> httpx2.Response:
    shown_at = f"/device?user_code={code['user_code']}"
    return await send(browser, shown_at, {"user_code": code["user_code"], **fields})


async def test_the_page_shows_the_program_the_code_and_the_scopes_in_words(browser: httpx2.AsyncClient) -> None:
    code = await asked(browser)
    page = await browser.get(f"/device?user_code={code['user_code'].lower().replace('-', ' ')}")
    assert page.status_code == 200
    assert "the ClawBench CLI" in page.text
    assert code["user_code"] in page.text
    assert "start runs that use sandbox time" in page.text
    assert "clawbench:run" not in page.text


async def test_the_page_shows_only_what_was_asked_for(browser: httpx2.AsyncClient) -> None:
    code = await asked(browser, scope="clawbench:read")
    page = await browser.get(f"/device?user_code={code['user_code']}")
    assert "see tasks" in page.text
    assert "sandbox time" not in page.text


async def test_approving_with_ones_own_agent_gives_the_program_a_token_for_it(
    browser: httpx2.AsyncClient, person: Person
) -> None:
    code = await asked(browser)
    answer = await decide(browser, code, agent=str(person.agent.id), decision="approve")
    assert answer.status_code == 200
    assert person.agent.name in answer.text
    token = (await polled(browser, code))["access_token"]
    told = await browser.get("/mcp", headers={"Authorization": f"Bearer {token}"})
    assert told.json()["agent"] == person.agent.name


async def test_a_new_agent_is_made_with_the_approval(browser: httpx2.AsyncClient, person: Person, pool: Pool) -> None:
    code, name = await asked(browser), fresh_name("fresh")
    await decide(browser, code, agent="new", agent_name=name, decision="approve")
    assert (await polled(browser, code))["agent_name"] == name
    assert name in [agent.name for agent in await agents_of(pool, person.user.id)]


async def test_the_proposed_agent_is_chosen_beforehand(browser: httpx2.AsyncClient, person: Person) -> None:
    own = await asked(browser, agent_name=person.agent.name.upper())
    page = await browser.get(f"/device?user_code={own['user_code']}")
    assert re.search(rf'value="{person.agent.id}"\s+checked', page.text)
    new = await asked(browser, agent_name="Proposed_agent")
    page = await browser.get(f"/device?user_code={new['user_code']}")
    assert re.search(r'value="new"\s+checked', page.text)
    assert 'value="Proposed_agent"' in page.text


async def test_one_may_choose_an_own_agent_although_the_program_proposed_a_new_one(
    browser: httpx2.AsyncClient, person: Person
) -> None:
    code = await asked(browser, agent_name="Proposed_agent")
    own = {"agent": str(person.agent.id), "decision": "approve"}
    assert (await decide(browser, code, agent_name="Another_one", **own)).status_code == 400
    assert (await decide(browser, code, agent_name="Proposed_agent", **own)).status_code == 200
    assert (await polled(browser, code))["agent_name"] == person.agent.name


async def test_somebody_elses_agent_cannot_be_chosen_or_taken(browser: httpx2.AsyncClient, pool: Pool) -> None:
    other, code = await somebody(pool), await asked(browser)
    chosen = await decide(browser, code, agent=str(other.agent.id), decision="approve")
    assert chosen.status_code == 400
    taken = await decide(browser, code, agent="new", agent_name=other.agent.name.upper(), decision="approve")
    assert taken.status_code == 409
    assert "is taken" in taken.text
    unpublishable = await decide(browser, code, agent="new", agent_name="a b", decision="approve")
    assert unpublishable.status_code == 400
    assert (await polled(browser, code))["error"] == "authorization_pending"


async def test_denying_is_told_to_the_program(browser: httpx2.AsyncClient) -> None:
    code = await asked(browser)
    answer = await decide(browser, code, decision="deny")
    assert "Denied" in answer.text
    assert (await polled(browser, code))["error"] == "access_denied"


async def test_a_decision_is_made_once(browser: httpx2.AsyncClient, person: Person) -> None:
    code = await asked(browser)
    await decide(browser, code, decision="deny")
    again = {"user_code": code["user_code"], "agent": str(person.agent.id), "decision": "approve"}
    assert (await send(browser, "/device", again)).status_code == 404
    assert (await browser.get(f"/device?user_code={code['user_code']}")).status_code == 404


async def test_an_expired_code_cannot_be_approved(browser: httpx2.AsyncClient, person: Person, pool: Pool) -> None:
    code = await asked(browser)
    await pool.execute("update clawbench.device_codes set expires_at = now()")
    late = {"user_code": code["user_code"], "agent": str(person.agent.id), "decision": "approve"}
    assert (await send(browser, "/device", late)).status_code == 404
    assert (await polled(browser, code))["error"] == "expired_token"


async def test_codes_cannot_be_guessed_by_trying(browser: httpx2.AsyncClient, pool: Pool) -> None:
    code = await asked(browser)
    assert (await browser.get("/device?user_code=BBBB-BBBB")).status_code == 404
    await pool.execute("update clawbench.attempts set tries = $1 where kind = 'user_code'", WRONG_CODES.tries)
    assert (await browser.get(f"/device?user_code={code['user_code']}")).status_code == 429
    assert (await send(browser, "/device", {"user_code": code["user_code"], "decision": "deny"})).status_code == 429


async def test_right_codes_do_not_use_tries_up(browser: httpx2.AsyncClient, pool: Pool) -> None:
    code = await asked(browser)
    await decide(browser, code, decision="deny")
    tries = await pool.fetchval("select tries from clawbench.attempts where kind = 'user_code'")
    assert tries == 0
    assert typed(code["user_code"]) == code["user_code"].replace("-", "")
