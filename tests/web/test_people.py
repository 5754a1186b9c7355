"""Admins make admins and judge runs in a browser; taking the role works at once, and somebody always has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio
from starlette.applications import Starlette

from clawbench.errors import NotAuthenticated, Refused
from clawbench.model.caller import Scope
from clawbench.oauth.bearer import authenticate
from clawbench.store.db import Pool
from clawbench.store.identities import user_with_identity
from clawbench.store.users import (
    create_first_admin,
    create_user,
    set_admin,
    take_admin,
    user_named,
    user_of_setup_link,
    user_with_id,
)
from tests.sign_in_app import ORIGIN, PASSWORD, Person, app_on, browser_of, csrf_in, send, set_up, somebody, token_of
from tests.support.rows import a_run

PEOPLE = "/admin/people"
_STALE = "update clawbench.sessions set authenticated_at = now() - interval '16 minutes'"


@pytest.fixture
def app(pool: Pool) -> Starlette:
    return app_on(pool)


@pytest_asyncio.fixture
async def admin(pool: Pool) -> Person:
    return await somebody(pool, admin=True)


@pytest_asyncio.fixture
async def browser(app: Starlette, admin: Person) -> AsyncIterator[httpx2.AsyncClient]:
    async with browser_of(app) as browser:
        await set_up(browser, admin)
        yield browser


async def is_admin(pool: Pool, person: Person) -> bool:
    user = await user_with_id(pool, person.user.id)
    assert user is not None
    return user.is_admin


async def test_an_admin_makes_another_and_takes_the_role_from_them(
    browser: httpx2.AsyncClient, pool: Pool, admin: Person
) -> None:
    other = await somebody(pool)
    page = await browser.get(PEOPLE)
    assert admin.user.name in page.text and other.user.name in page.text
    assert (await send(browser, PEOPLE, {"do": "make-admin", "id": str(other.user.id)})).status_code == 303
    assert await is_admin(pool, other)
    assert (await send(browser, PEOPLE, {"do": "take-admin", "id": str(other.user.id)})).status_code == 303
    assert not await is_admin(pool, other)


async def test_taking_the_role_works_at_once_for_sessions_and_tokens(
    app: Starlette, browser: httpx2.AsyncClient, pool: Pool
) -> None:
    other = await somebody(pool, admin=True)
    token = f"Bearer {await token_of(pool, other, Scope.READ, Scope.ADMIN)}"
    async with browser_of(app) as theirs:
        await set_up(theirs, other)
        assert (await theirs.get(PEOPLE)).status_code == 200
        await send(browser, PEOPLE, {"do": "take-admin", "id": str(other.user.id)})
        for path in (PEOPLE, "/admin/gate"):
            assert (await theirs.get(path)).status_code == 403
    assert (await authenticate(pool, f"{ORIGIN}/mcp", token)).scopes == {Scope.READ}


async def test_the_last_admin_stays_one(browser: httpx2.AsyncClient, pool: Pool, admin: Person) -> None:
    await somebody(pool, admin=True)  # has no password yet, and cannot sign in
    answer = await send(browser, PEOPLE, {"do": "take-admin", "id": str(admin.user.id)})
    assert answer.status_code == 409
    assert "No admin who can sign in would be left" in answer.text
    assert await is_admin(pool, admin)


async def test_an_admin_may_resign_while_another_can_sign_in(
    browser: httpx2.AsyncClient, pool: Pool, admin: Person
) -> None:
    other = await user_with_identity(pool, issuer="https://i.test", subject="1", proposed="other")
    await set_admin(pool, other.id, admin=True)
    answer = await send(browser, PEOPLE, {"do": "take-admin", "id": str(admin.user.id)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert (await browser.get(PEOPLE)).status_code == 403


async def test_an_admin_ends_all_access_of_a_person_and_reads_what_that_was(
    app: Starlette, browser: httpx2.AsyncClient, pool: Pool
) -> None:
    other = await somebody(pool)
    token = f"Bearer {await token_of(pool, other)}"
    async with browser_of(app) as theirs:
        await set_up(theirs, other)
        page = await send(browser, PEOPLE, {"do": "revoke", "id": str(other.user.id)})
        assert page.status_code == 200
        for told in (f"Ended for {other.user.name}", "sessions 1,", "access tokens 1,", "setup links 0,"):
            assert told in page.text
        assert (await theirs.get("/account")).headers["location"].startswith("/sign-in")
    with pytest.raises(NotAuthenticated):
        await authenticate(pool, f"{ORIGIN}/mcp", token)


async def test_an_admin_who_ends_their_own_access_is_asked_to_sign_in(
    browser: httpx2.AsyncClient, admin: Person
) -> None:
    answer = await send(browser, PEOPLE, {"do": "revoke", "id": str(admin.user.id)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert (await browser.get("/account")).headers["location"].startswith("/sign-in")


async def test_lookalike_names_are_told_apart_by_issuer_and_subject(browser: httpx2.AsyncClient, pool: Pool) -> None:
    for subject in ("248289761001", "<1>"):
        await user_with_identity(pool, issuer="https://i.test", subject=subject, proposed="ada")
    page = await browser.get(PEOPLE)
    for subject in ("248289761001", "&lt;1&gt;"):
        assert f"at <code>https://i.test</code> as <code>{subject}</code>" in page.text


async def test_of_two_admins_who_take_it_from_each_other_one_keeps_it(pool: Pool) -> None:
    for _ in range(5):
        await pool.execute("update clawbench.users set is_admin = false")
        two = [await user_with_identity(pool, issuer="https://i.test", subject=s, proposed="x") for s in ("1", "2")]
        for user in two:
            await set_admin(pool, user.id, admin=True)
        ended = await asyncio.gather(*(take_admin(pool, user.id) for user in two), return_exceptions=True)
        assert [type(each) for each in ended if each is not None] == [Refused]
        assert await pool.fetchval("select count(*) from clawbench.users where is_admin") == 1


@pytest.mark.parametrize("path", [PEOPLE, "/admin/gate", "/admin/gate/00000000-0000-4000-8000-000000000000"])
async def test_admin_pages_are_for_admins_who_have_just_given_their_password(
    app: Starlette, browser: httpx2.AsyncClient, pool: Pool, path: str
) -> None:
    asked = f"/sign-in?next={path}"
    async with browser_of(app) as other:
        assert (await other.get(path)).headers["location"] == asked
        await set_up(other, await somebody(pool))
        assert (await other.get(path)).status_code == 403
        assert (await other.post(path, data={"csrf": csrf_in(await other.get("/account"))})).status_code in (403, 405)
    csrf = csrf_in(await browser.get("/account"))
    await pool.execute(_STALE)
    assert (await browser.get(path)).headers["location"] == asked
    if path != "/admin/gate":
        posted = await browser.post(path, data={"csrf": csrf, "do": "make-admin"})
        assert posted.headers["location"] == asked


async def test_the_password_given_again_opens_the_page_that_was_asked_for(
    browser: httpx2.AsyncClient, pool: Pool, admin: Person
) -> None:
    await pool.execute(_STALE)
    asked = (await browser.get(PEOPLE)).headers["location"]
    answer = await send(browser, asked, {"name": admin.user.name, "password": PASSWORD, "next": PEOPLE})
    assert answer.headers["location"] == PEOPLE
    assert (await browser.get(PEOPLE)).status_code == 200


@pytest.mark.parametrize("do", ["make-admin", "revoke"])
@pytest.mark.parametrize("path", [PEOPLE, "/admin/gate/00000000-0000-4000-8000-000000000000"])
async def test_no_form_is_taken_that_this_browser_was_not_shown(
    app: Starlette, browser: httpx2.AsyncClient, pool: Pool, path: str, do: str
) -> None:
    other = await somebody(pool)
    async with browser_of(app) as stranger:
        await set_up(stranger, await somebody(pool, admin=True))
        theirs = csrf_in(await stranger.get(PEOPLE))
    for csrf in ({}, {"csrf": ""}, {"csrf": theirs}):
        answer = await browser.post(path, data={"do": do, "id": str(other.user.id), **csrf})
        assert (answer.status_code, "out of date" in answer.text) == (403, True)
    assert not await is_admin(pool, other)
    assert await user_of_setup_link(pool, other.setup_token) == other.user


@pytest.mark.parametrize("sent", [{"id": "x"}, {"id": "00000000-0000-4000-8000-000000000000"}, {}])
async def test_a_person_who_is_not_there_is_told(browser: httpx2.AsyncClient, sent: dict[str, str]) -> None:
    assert (await send(browser, PEOPLE, {"do": "make-admin", **sent})).status_code == 404


async def test_people_are_found_by_part_of_their_name(browser: httpx2.AsyncClient, pool: Pool) -> None:
    await create_user(pool, "Ada Lovelace")
    await create_user(pool, "Grace")
    page = await browser.get(f"{PEOPLE}?named=LOVE")
    assert "Ada Lovelace" in page.text
    assert "Grace" not in page.text
    assert "Nobody here is called that" in (await browser.get(f"{PEOPLE}?named=%25")).text


async def test_the_first_start_makes_one_admin_and_no_later_one(pool: Pool) -> None:
    made = await asyncio.gather(*(create_first_admin(pool) for _ in range(4)))
    (first,) = [each for each in made if each is not None]
    assert (first.user.name, first.user.is_admin) == ("admin", True)
    assert await create_first_admin(pool) is None
    assert await pool.fetchval("select count(*) from clawbench.users") == 1


async def test_an_installation_with_anybody_gets_no_first_admin(pool: Pool) -> None:
    await somebody(pool)
    assert await create_first_admin(pool) is None
    assert await user_named(pool, "admin") is None


async def test_a_run_that_cannot_be_approved_is_told_with_what_was_typed(
    browser: httpx2.AsyncClient, pool: Pool
) -> None:
    run = await a_run(pool)
    path = f"/admin/gate/{run.run_id}"
    page = await browser.get(path)
    assert run.person.agent.name in page.text
    refused = await send(browser, path, {"do": "approve", "reason": "read <it>"})
    assert refused.status_code == 409
    assert "read &lt;it&gt;</textarea>" in refused.text
    assert "only a finished run can be judged" in refused.text


@pytest.mark.parametrize("sent", [{"reason": " "}, {"reason": "x" * 1001}, {"reason": "x", "do": "?"}, {}])
async def test_a_judgement_has_a_reason(browser: httpx2.AsyncClient, pool: Pool, sent: dict[str, str]) -> None:
    path = f"/admin/gate/{(await a_run(pool)).run_id}"
    assert (await send(browser, path, {"do": "approve", **sent})).status_code == 400


@pytest.mark.parametrize("run_id", ["x", "00000000-0000-4000-8000-000000000000"])
async def test_a_run_that_is_not_there_is_told(browser: httpx2.AsyncClient, run_id: str) -> None:
    assert (await browser.get(f"/admin/gate/{run_id}")).status_code == 404
