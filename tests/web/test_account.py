"""People see what acts for them, end it at once, and change how they sign in; nobody else does it for them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio
from starlette.applications import Starlette

from clawbench.model.caller import Scope
from clawbench.model.decision import Approved
from clawbench.model.secret import ACCESS_TOKEN_PREFIX, new_secret
from clawbench.store.db import Pool
from clawbench.store.grants import make_grant
from clawbench.store.tokens import caller_with
from clawbench.web.sign_in import PER_NAME
from tests.sign_in_app import ORIGIN, PASSWORD, Person, app_on, browser_of, csrf_in, send, set_up, somebody

SESSION = "__Host-clawbench_session"
RESOURCE = f"{ORIGIN}/mcp"
NEW_PASSWORD = "other quite unrelated words"


@pytest.fixture
def app(pool: Pool) -> Starlette:
    return app_on(pool)


@pytest_asyncio.fixture
async def person(pool: Pool) -> Person:
    return await somebody(pool)


@pytest_asyncio.fixture
async def browser(app: Starlette, person: Person) -> AsyncIterator[httpx2.AsyncClient]:
    async with browser_of(app) as browser:
        await set_up(browser, person)
        yield browser


def key_in(page: httpx2.Response) -> str:
    found = re.search(r"cbk_[A-Za-z0-9_-]{43}", page.text)
    assert found is not None, page.text
    return found[0]


def form_of(person: Person, **more: str) -> dict[str, str]:
    return {"do": "make-key", "name": "night runs", "agent": str(person.agent.id), "may": "run", "days": "90", **more}


async def made_key(browser: httpx2.AsyncClient, person: Person, **more: str) -> str:
    page = await send(browser, "/account", form_of(person, **more))
    assert page.status_code == 200, page.text
    return key_in(page)


async def id_in(browser: httpx2.AsyncClient, do: str) -> str:
    """What the one form of this kind on the page would end."""
    (found,) = re.findall(
        rf'name="do" value="{do}">\s*<input type="hidden" name="id" value="([0-9a-f-]+)"',
        (await browser.get("/account")).text,
    )
    return found


async def status_with(app: Starlette, bearer: str) -> int:
    async with browser_of(app) as client:
        return (await client.get("/mcp", headers={"Authorization": f"Bearer {bearer}"})).status_code


async def test_the_account_is_for_who_is_signed_in(app: Starlette, browser: httpx2.AsyncClient, person: Person) -> None:
    page = await browser.get("/account")
    assert person.user.name in page.text
    assert person.agent.name in page.text
    async with browser_of(app) as stranger:
        for answer in (await stranger.get("/account"), await stranger.post("/account", data={"do": "make-key"})):
            assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/account")


@pytest.mark.promise("api-keys")
async def test_a_key_is_shown_once_and_works_until_it_is_revoked(
    app: Starlette, browser: httpx2.AsyncClient, person: Person
) -> None:
    key = await made_key(browser, person)
    page = await browser.get("/account")
    assert key not in page.text
    assert f"{key[:8]}…" in page.text
    assert "night runs" in page.text
    assert await status_with(app, key) == 200
    ended = {"do": "revoke-key", "id": await id_in(browser, "revoke-key")}
    assert (await send(browser, "/account", ended)).status_code == 303
    assert await status_with(app, key) == 401
    assert "night runs" not in (await browser.get("/account")).text
    assert (await send(browser, "/account", ended)).status_code == 404


async def test_a_page_with_a_key_is_kept_by_nobody(browser: httpx2.AsyncClient, person: Person) -> None:
    page = await send(browser, "/account", form_of(person))
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("sent", "scopes", "days"),
    [
        ({"may": "read"}, ["clawbench:read"], 90),
        ({"may": "run", "days": ""}, ["clawbench:read", "clawbench:run"], None),
    ],
)
async def test_a_key_has_the_scopes_and_the_lifetime_that_were_chosen(
    browser: httpx2.AsyncClient,
    person: Person,
    pool: Pool,
    sent: dict[str, str],
    scopes: list[str],
    days: int | None,
) -> None:
    await made_key(browser, person, **sent)
    row = await pool.fetchrow(
        "select scopes, extract(day from expires_at - created_at)::int as days from clawbench.api_keys"
    )
    assert row is not None
    assert (row["scopes"], row["days"]) == (scopes, days)


async def test_a_key_can_be_made_for_a_new_agent(browser: httpx2.AsyncClient, person: Person) -> None:
    await made_key(browser, person, agent="new", agent_name="Tester_agent")
    assert "Tester_agent" in (await browser.get("/account")).text


BAD_KEYS: dict[str, dict[str, str]] = {
    "no name": {"name": " "},
    "a name that cannot be read": {"name": "a\u202eb"},
    "the admin scope": {"may": "admin"},
    "a lifetime of its own": {"days": "100000"},
    "no lifetime": {"days": "x"},
    "an agent that is none": {"agent": "x"},
    "a new agent without a name": {"agent": "new", "agent_name": ""},
}


@pytest.mark.parametrize("bad", BAD_KEYS)
async def test_a_key_that_cannot_be_made_is_told_and_what_was_typed_stays(
    browser: httpx2.AsyncClient, person: Person, pool: Pool, bad: str
) -> None:
    page = await send(browser, "/account", form_of(person) | BAD_KEYS[bad])
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert "cbk_" not in page.text
    assert await pool.fetchval("select count(*) from clawbench.api_keys") == 0


async def test_no_key_is_made_for_somebody_elses_agent(browser: httpx2.AsyncClient, pool: Pool, person: Person) -> None:
    other = await somebody(pool)
    page = await send(browser, "/account", form_of(person, agent=str(other.agent.id)))
    assert page.status_code == 400
    assert await pool.fetchval("select count(*) from clawbench.api_keys") == 0


async def test_nobody_ends_what_is_somebody_elses(
    app: Starlette, browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    key = await made_key(browser, person)
    token = await connected(pool, person)
    async with browser_of(app) as other:
        await set_up(other, await somebody(pool))
        page = await other.get("/account")
        assert "night runs" not in page.text
        for do in ("revoke-key", "disconnect"):
            for wanted in (await id_in(browser, do), "x", ""):
                assert (await send(other, "/account", {"do": do, "id": wanted})).status_code == 404
    assert await status_with(app, key) == 200
    assert await caller_with(pool, token, resource=RESOURCE) is not None


async def connected(pool: Pool, person: Person, scopes: tuple[Scope, ...] = (Scope.READ, Scope.RUN)) -> str:
    """A program that the person let act; its access token."""
    approved = Approved(user_id=person.user.id, agent_id=person.agent.id, agent_name=person.agent.name)
    grant = await make_grant(pool, approved, client_id="clawbench-cli", scopes=scopes, resource=RESOURCE)
    token = new_secret(ACCESS_TOKEN_PREFIX)
    await pool.execute(
        """
        insert into clawbench.access_tokens
            (token_sha256, user_id, agent_id, client_id, scopes, resource, expires_at, grant_id)
        select sha256(convert_to($1, 'UTF8')), user_id, agent_id, client_id, scopes, resource,
            now() + interval '1 hour', id
        from clawbench.grants where id = $2
        """,
        token,
        grant.id,
    )
    return token


async def test_a_connected_program_is_listed_and_disconnected_at_once(
    app: Starlette, browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    token = await connected(pool, person)
    assert await status_with(app, token) == 200
    assert "the ClawBench CLI" in (await browser.get("/account")).text
    ended = {"do": "disconnect", "id": await id_in(browser, "disconnect")}
    assert (await send(browser, "/account", ended)).status_code == 303
    assert await status_with(app, token) == 401
    assert "the ClawBench CLI" not in (await browser.get("/account")).text


async def test_a_program_whose_tokens_are_all_over_is_not_listed(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    await connected(pool, person)
    await pool.execute("update clawbench.access_tokens set created_at = now() - interval '2 hours', expires_at = now()")
    assert "the ClawBench CLI" not in (await browser.get("/account")).text


async def test_signing_out_everywhere_ends_every_session_and_nothing_else(
    app: Starlette, browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    key = await made_key(browser, person)
    async with browser_of(app) as other, browser_of(app) as stranger:
        await set_up(stranger, await somebody(pool))
        await send(other, "/sign-in", {"name": person.user.name, "password": PASSWORD})
        answer = await send(browser, "/account", {"do": "sign-out-everywhere"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert SESSION not in browser.cookies
        assert (await other.get("/account")).status_code == 303
        assert (await stranger.get("/account")).status_code == 200
    assert await status_with(app, key) == 200


def passwords(old: str = PASSWORD, new: str = NEW_PASSWORD, again: str | None = None) -> dict[str, str]:
    again = new if again is None else again
    return {"do": "change-password", "password": old, "new_password": new, "new_password_again": again}


async def test_a_changed_password_signs_every_other_browser_out(
    app: Starlette, browser: httpx2.AsyncClient, person: Person
) -> None:
    async with browser_of(app) as other:
        await send(other, "/sign-in", {"name": person.user.name, "password": PASSWORD})
        before = browser.cookies[SESSION]
        assert (await send(browser, "/account", passwords())).status_code == 303
        assert browser.cookies[SESSION] != before
        assert (await browser.get("/account")).status_code == 200
        assert (await other.get("/account")).status_code == 303
        old = await send(other, "/sign-in", {"name": person.user.name, "password": PASSWORD})
        assert old.status_code == 400
        new = await send(other, "/sign-in", {"name": person.user.name, "password": NEW_PASSWORD})
        assert new.status_code == 303


@pytest.mark.parametrize(
    "sent",
    [passwords(old="wrong"), passwords(again="different ones"), passwords(new="short"), {"do": "change-password"}],
)
async def test_a_password_is_changed_only_by_who_knows_it_and_to_a_good_one(
    browser: httpx2.AsyncClient, pool: Pool, sent: dict[str, str]
) -> None:
    before = await pool.fetchval("select string_agg(password_hash, '') from clawbench.users")
    page = await send(browser, "/account", sent)
    assert (page.status_code, 'role="alert"' in page.text) == (400, True)
    assert await pool.fetchval("select string_agg(password_hash, '') from clawbench.users") == before


async def test_guessing_the_password_in_an_open_browser_is_stopped(browser: httpx2.AsyncClient, pool: Pool) -> None:
    await send(browser, "/account", passwords(old="wrong"))
    await pool.execute("update clawbench.attempts set tries = $1 where kind = 'sign_in'", PER_NAME.tries)
    assert (await send(browser, "/account", passwords())).status_code == 429


async def test_who_has_no_password_here_is_told_so(browser: httpx2.AsyncClient, pool: Pool) -> None:
    await pool.execute("update clawbench.users set password_hash = null")
    page = await browser.get("/account")
    assert "You have no password here" in page.text
    assert (await send(browser, "/account", passwords())).status_code == 400


@pytest.mark.parametrize("do", ["make-key", "revoke-key", "disconnect", "change-password", "sign-out-everywhere"])
async def test_no_form_is_taken_that_this_browser_was_not_shown(
    app: Starlette, browser: httpx2.AsyncClient, pool: Pool, do: str
) -> None:
    async with browser_of(app) as other:
        await set_up(other, await somebody(pool))
        theirs = csrf_in(await other.get("/account"))
    for csrf in ({}, {"csrf": ""}, {"csrf": theirs}):
        answer = await browser.post("/account", data={"do": do, **csrf})
        assert (answer.status_code, "out of date" in answer.text) == (403, True)


async def test_a_form_that_says_nothing_does_nothing(browser: httpx2.AsyncClient) -> None:
    assert (await send(browser, "/account", {})).status_code == 400


async def test_what_people_type_is_shown_as_text(browser: httpx2.AsyncClient, person: Person) -> None:
    name = '"><script>alert(1)</script>'
    await made_key(browser, person, name=name)
    page = await browser.get("/account")
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
