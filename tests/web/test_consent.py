"""A person sees which program asks for what, where the answer goes, and says yes as one of their agents, or no."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from clawbench.store.agents import agents_of
from clawbench.store.db import Pool
from tests.oauth.flow import HERE, Asking, decide, register, registered, told_in
from tests.sign_in_app import ORIGIN, PASSWORD, Person, app_on, browser_of, fresh_name, send, set_up, somebody


@pytest_asyncio.fixture
async def person(pool: Pool) -> Person:
    return await somebody(pool)


@pytest_asyncio.fixture
async def browser(pool: Pool, person: Person) -> AsyncIterator[httpx2.AsyncClient]:
    async with browser_of(app_on(pool)) as browser:
        await set_up(browser, person)
        yield browser


async def shown(browser: httpx2.AsyncClient, asking: Asking, **changed: str | None) -> httpx2.Response:
    led_on = await browser.get(asking.address(**changed))
    return await browser.get(led_on.headers["location"])


async def test_the_page_names_the_program_its_redirect_and_the_scopes_in_words(browser: httpx2.AsyncClient) -> None:
    page = await shown(browser, Asking(client_id=await registered(browser)))
    assert page.status_code == 200
    assert "Claude Code" in page.text
    assert "127.0.0.1:41234" in page.text
    assert "This client registered itself; its name is its own claim." in page.text
    assert "start runs that use sandbox time" in page.text
    assert "clawbench:run" not in page.text
    assert page.text.count("<h1>") == 1
    assert page.headers["cache-control"] == "no-store"


async def test_the_page_shows_only_what_was_asked_for(browser: httpx2.AsyncClient) -> None:
    page = await shown(browser, Asking(client_id=await registered(browser)), scope="clawbench:read")
    assert "see tasks" in page.text
    assert "sandbox time" not in page.text


async def test_the_name_that_a_program_claims_is_text_and_nothing_else(browser: httpx2.AsyncClient) -> None:
    answer = await register(browser, client_name='<script>alert(1)</script>"')
    page = await shown(browser, Asking(client_id=answer.json()["client_id"]))
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text


@pytest.mark.parametrize(
    ("registered_uri", "asked", "source", "words"),
    [
        ("http://localhost/cb", "http://localhost:5555/cb", "http://localhost:5555", "a program on this computer"),
        ("http://[::1]/cb", "http://[::1]:5555/cb", "http:", "a program on this computer"),
        ("https://client.test/cb", "https://client.test/cb", "https://client.test", "the web site"),
        ("cursor://app/cb", "cursor://app/cb", "cursor:", "the app that opens"),
    ],
)
async def test_the_form_may_lead_to_this_programs_redirect_and_nowhere_else(
    browser: httpx2.AsyncClient, registered_uri: str, asked: str, source: str, words: str
) -> None:
    asking = Asking(client_id=await registered(browser, registered_uri), redirect_uri=asked)
    page = await shown(browser, asking)
    assert f"form-action 'self' {source};" in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert words in page.text


async def test_approving_sends_the_code_the_state_and_the_issuer_to_the_program(
    browser: httpx2.AsyncClient, person: Person
) -> None:
    asking = Asking(client_id=await registered(browser))
    answer = await decide(browser, asking.address(), agent=str(person.agent.id), decision="approve")
    assert answer.headers["location"].startswith(f"{HERE}?")
    assert answer.headers["referrer-policy"] == "no-referrer"
    told = told_in(answer)
    assert (told["state"], told["iss"], set(told)) == ("a state & more", ORIGIN, {"code", "state", "iss"})
    tokens = (await asking.exchange(browser, told["code"])).json()
    who = await browser.get("/mcp", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert who.json()["agent"] == person.agent.name


async def test_a_new_agent_is_made_with_the_approval(browser: httpx2.AsyncClient, person: Person, pool: Pool) -> None:
    asking, name = Asking(client_id=await registered(browser)), fresh_name("fresh")
    answer = await decide(browser, asking.address(), agent="new", agent_name=name, decision="approve")
    assert (await asking.exchange(browser, told_in(answer)["code"])).json()["agent_name"] == name
    assert name in [agent.name for agent in await agents_of(pool, person.user.id)]


async def test_denying_is_told_to_the_program(browser: httpx2.AsyncClient, pool: Pool) -> None:
    asking = Asking(client_id=await registered(browser))
    told = told_in(await decide(browser, asking.address(), decision="deny"))
    assert (told["error"], told["state"], told["iss"]) == ("access_denied", "a state & more", ORIGIN)
    assert "code" not in told
    assert await pool.fetchval("select count(*) from clawbench.authorizations where code_sha256 is not null") == 0


async def test_a_decision_is_made_once(browser: httpx2.AsyncClient, person: Person) -> None:
    asking = Asking(client_id=await registered(browser))
    led_on = (await browser.get(asking.address())).headers["location"]
    fields = {"request": led_on.partition("=")[2], "agent": str(person.agent.id), "decision": "approve"}
    assert "code" in told_in(await send(browser, led_on, fields))
    assert (await browser.get(led_on)).status_code == 404
    for decision in ("approve", "deny"):
        again = await send(browser, "/device", {**fields, "decision": decision}, to="/consent")
        assert again.status_code == 404


async def test_a_request_nobody_decided_in_half_an_hour_is_over(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking = Asking(client_id=await registered(browser))
    led_on = (await browser.get(asking.address())).headers["location"]
    await pool.execute("update clawbench.authorizations set expires_at = expires_at - interval '30 minutes'")
    assert (await browser.get(led_on)).status_code == 404
    fields = {"request": led_on.partition("=")[2], "agent": str(person.agent.id), "decision": "approve"}
    assert (await send(browser, "/device", fields, to="/consent")).status_code == 404


@pytest.mark.parametrize("asked", ["", "?request=", "?request=nobodys", "?request=%00", "?request=%ff"])
async def test_there_is_no_page_without_a_request(browser: httpx2.AsyncClient, asked: str) -> None:
    assert (await browser.get(f"/consent{asked}")).status_code == 404


async def test_somebody_elses_agent_cannot_be_chosen_or_taken(browser: httpx2.AsyncClient, pool: Pool) -> None:
    other, asking = await somebody(pool), Asking(client_id=await registered(browser))
    chosen = await decide(browser, asking.address(), agent=str(other.agent.id), decision="approve")
    assert chosen.status_code == 400
    assert "form-action 'self' http://127.0.0.1:41234;" in chosen.headers["content-security-policy"]
    name = other.agent.name.upper()
    taken = await decide(browser, asking.address(), agent="new", agent_name=name, decision="approve")
    assert taken.status_code == 409
    assert "is taken" in taken.text
    assert f'value="{name}"' in taken.text
    assert re.search(r'value="new"\s+checked', taken.text)


async def test_a_new_name_beside_an_old_agent_is_asked_about_and_not_ignored(
    browser: httpx2.AsyncClient, person: Person
) -> None:
    asking = Asking(client_id=await registered(browser))
    both = await decide(
        browser, asking.address(), agent=str(person.agent.id), agent_name="Tester_agent", decision="approve"
    )
    assert both.status_code == 400
    assert "you named a new agent but chose another" in both.text.lower()
    assert 'value="Tester_agent"' in both.text


async def test_a_form_that_is_not_ours_decides_nothing(browser: httpx2.AsyncClient, person: Person, pool: Pool) -> None:
    asking = Asking(client_id=await registered(browser))
    led_on = (await browser.get(asking.address())).headers["location"]
    fields = {"request": led_on.partition("=")[2], "agent": str(person.agent.id), "decision": "approve"}
    for csrf in ("", "0" * 64):
        assert (await browser.post("/consent", data={**fields, "csrf": csrf})).status_code == 403
    assert await pool.fetchval("select approved_at from clawbench.authorizations") is None


async def test_a_person_who_is_not_signed_in_comes_back_to_the_question(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking = Asking(client_id=await registered(browser))
    async with browser_of(app_on(pool)) as elsewhere:
        led_on = (await elsewhere.get(asking.address())).headers["location"]
        to_sign_in = await elsewhere.get(led_on)
        assert to_sign_in.status_code == 303
        where = to_sign_in.headers["location"]
        assert where.startswith("/sign-in?next=/consent")
        signed_in = await send(
            elsewhere, where, {"name": person.user.name, "password": PASSWORD, "next": led_on}, to="/sign-in"
        )
        assert signed_in.headers["location"] == led_on
        assert (await elsewhere.get(led_on)).status_code == 200
