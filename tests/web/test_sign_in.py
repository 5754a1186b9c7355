"""People sign in with a password of their own, and nobody else signs in as them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import process_time

import httpx2
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from clawbench.model.password import hash_password
from clawbench.store.db import Pool
from clawbench.store.users import new_setup_link, set_admin
from clawbench.web.pages import page_route
from clawbench.web.session import require_admin
from clawbench.web.sign_in import PER_ADDRESS, PER_NAME, our_path
from tests.sign_in_app import ORIGIN, PASSWORD, app_on, browser_of, csrf_in, send, set_up, somebody

SESSION = "__Host-clawbench_session"


async def for_admins(request: Request) -> Response:
    return PlainTextResponse((await require_admin(request)).name)


async def for_admins_just_now(request: Request) -> Response:
    return PlainTextResponse((await require_admin(request, fresh=True)).name)


@pytest.fixture
def app(pool: Pool) -> Starlette:
    app = app_on(pool)
    app.routes.append(page_route("/admin-only", for_admins, methods=["GET"]))
    app.routes.append(page_route("/admin-just-now", for_admins_just_now, methods=["GET"]))
    return app


@pytest_asyncio.fixture
async def browser(app: Starlette) -> AsyncIterator[httpx2.AsyncClient]:
    async with browser_of(app) as browser:
        yield browser


async def test_a_new_person_chooses_a_password_and_is_signed_in(browser: httpx2.AsyncClient, pool: Pool) -> None:
    person = await somebody(pool)
    welcome = await browser.get(f"/setup?token={person.setup_token}")
    assert f"Welcome, {person.user.name}" in welcome.text
    answer = await set_up(browser, person)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert person.user.name in (await browser.get("/device")).text


async def test_a_setup_link_works_once(app: Starlette, pool: Pool) -> None:
    person = await somebody(pool)
    async with browser_of(app) as first, browser_of(app) as second:
        page = await second.get(f"/setup?token={person.setup_token}")
        await set_up(first, person)
        fields = {"token": person.setup_token, "password": "somebody else's words", "csrf": csrf_in(page)}
        late = await second.post("/setup", data={**fields, "password_again": fields["password"]})
        assert late.status_code == 404
        assert SESSION not in second.cookies
        assert (await second.get(f"/setup?token={person.setup_token}")).status_code == 404


async def test_of_two_people_with_one_setup_link_one_wins(app: Starlette, pool: Pool) -> None:
    person = await somebody(pool)
    async with browser_of(app) as first, browser_of(app) as second:
        answers = await asyncio.gather(set_up(first, person), set_up(second, person), return_exceptions=True)
        signed_in = [browser for browser in (first, second) if SESSION in browser.cookies]
    assert len(signed_in) == 1, answers


async def test_an_old_or_replaced_setup_link_does_not_work(browser: httpx2.AsyncClient, pool: Pool) -> None:
    person = await somebody(pool)
    async with pool.acquire() as connection:
        newer = await new_setup_link(connection, person.user.id)
    assert (await browser.get(f"/setup?token={person.setup_token}")).status_code == 404
    assert (await browser.get(f"/setup?token={newer}")).status_code == 200
    await pool.execute("update clawbench.setup_links set expires_at = now()")
    assert (await browser.get(f"/setup?token={newer}")).status_code == 404
    assert (await browser.get("/setup")).status_code == 404


@pytest.mark.parametrize(
    ("password", "again", "problem"),
    [("short", "short", "12 to 256 characters"), (PASSWORD, PASSWORD + "!", "not the same")],
)
async def test_a_password_must_be_long_and_typed_twice(
    browser: httpx2.AsyncClient, pool: Pool, password: str, again: str, problem: str
) -> None:
    person = await somebody(pool)
    fields = {"token": person.setup_token, "password": password, "password_again": again}
    answer = await send(browser, f"/setup?token={person.setup_token}", fields)
    assert answer.status_code == 400
    assert problem in answer.text
    assert password not in answer.text
    assert SESSION not in browser.cookies


async def test_a_new_password_ends_the_sessions_there_were(app: Starlette, pool: Pool) -> None:
    person = await somebody(pool)
    async with browser_of(app) as before, browser_of(app) as after:
        await set_up(before, person)
        async with pool.acquire() as connection:
            link = await new_setup_link(connection, person.user.id)
        fields = {"token": link, "password": PASSWORD + "2", "password_again": PASSWORD + "2"}
        assert (await send(after, f"/setup?token={link}", fields)).status_code == 303
        assert (await before.get("/device")).status_code == 303
        assert (await after.get("/device")).status_code == 200


async def test_signing_in_leads_to_where_one_wanted_to_go(app: Starlette, pool: Pool) -> None:
    person = await somebody(pool)
    async with browser_of(app) as first:
        await set_up(first, person)
    async with browser_of(app) as browser:
        asked = await browser.get("/device?user_code=WDJB-MJHT")
        assert asked.status_code == 303
        assert asked.headers["location"] == "/sign-in?next=/device%3Fuser_code%3DWDJB-MJHT"
        page = await browser.get(asked.headers["location"])
        assert 'value="/device?user_code=WDJB-MJHT"' in page.text
        fields = {"name": person.user.name.upper(), "password": PASSWORD, "next": "/device?user_code=WDJB-MJHT"}
        answer = await send(browser, "/sign-in", fields)
        assert (answer.status_code, answer.headers["location"]) == (303, "/device?user_code=WDJB-MJHT")
        assert (await browser.get("/sign-in?next=/device")).headers["location"] == "/device"


async def test_the_session_cookie_is_for_this_host_https_and_no_script(app: Starlette, pool: Pool) -> None:
    async with browser_of(app) as browser:
        answer = await set_up(browser, await somebody(pool))
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(SESSION.lower() + "=")
    for attribute in ("httponly", "secure", "samesite=lax", "path=/"):
        assert attribute in cookie
    assert "domain" not in cookie


async def test_on_plain_http_the_cookie_still_works(pool: Pool) -> None:
    origin = "http://127.0.0.1:8100"
    async with browser_of(app_on(pool, origin=origin), origin=origin) as browser:
        answer = await set_up(browser, await somebody(pool))
        assert "secure" not in answer.headers["set-cookie"].lower()
        assert (await browser.get("/device")).status_code == 200


async def test_signing_in_replaces_the_session_that_was_there(browser: httpx2.AsyncClient, pool: Pool) -> None:
    person = await somebody(pool)
    await set_up(browser, person)
    before = browser.cookies[SESSION]
    await pool.execute("update clawbench.sessions set authenticated_at = now() - interval '1 hour'")
    assert (await send(browser, "/sign-in", {"name": person.user.name, "password": PASSWORD})).status_code == 303
    assert browser.cookies[SESSION] != before
    assert await pool.fetchval("select count(*) from clawbench.sessions") == 1


async def test_signing_out_ends_the_session_itself(browser: httpx2.AsyncClient, pool: Pool) -> None:
    await set_up(browser, await somebody(pool))
    stolen = browser.cookies[SESSION]
    assert (await send(browser, "/device", {}, to="/sign-out")).status_code == 303
    assert SESSION not in browser.cookies
    answer = await browser.get("/device", headers={"Cookie": f"{SESSION}={stolen}"})
    assert answer.headers["location"] == "/sign-in?next=/device"


async def test_a_session_ends_after_two_weeks(browser: httpx2.AsyncClient, pool: Pool) -> None:
    await set_up(browser, await somebody(pool))
    lifetime = await pool.fetchval("select extract(day from expires_at - created_at)::int from clawbench.sessions")
    assert lifetime == 14
    await pool.execute("update clawbench.sessions set expires_at = now()")
    assert (await browser.get("/device")).status_code == 303


@pytest.mark.parametrize("who", ["right name", "nobody", "no password yet", "empty"])
async def test_a_wrong_sign_in_tells_nobody_which_names_exist(app: Starlette, pool: Pool, who: str) -> None:
    person, other = await somebody(pool), await somebody(pool)
    names = {"right name": person.user.name, "nobody": "nobody", "no password yet": other.user.name, "empty": ""}
    async with browser_of(app) as first, browser_of(app) as browser:
        await set_up(first, person)
        answer = await send(browser, "/sign-in", {"name": names[who], "password": "wrong " + PASSWORD})
        assert answer.status_code == 400
        assert "That name and password do not belong together." in answer.text
        assert SESSION not in browser.cookies


async def test_guessing_a_password_is_stopped_even_if_the_last_guess_is_right(
    browser: httpx2.AsyncClient, pool: Pool
) -> None:
    person = await somebody(pool)
    await set_up(browser, person)
    await send(browser, "/device", {}, to="/sign-out")
    await send(browser, "/sign-in", {"name": person.user.name, "password": "wrong"})
    await pool.execute("update clawbench.attempts set tries = $1 where kind = 'sign_in'", PER_NAME.tries)
    answer = await send(browser, "/sign-in", {"name": person.user.name.upper(), "password": PASSWORD})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 901
    await pool.execute("update clawbench.attempts set window_starts_at = window_starts_at - interval '15 minutes'")
    assert (await send(browser, "/sign-in", {"name": person.user.name, "password": PASSWORD})).status_code == 303


async def test_trying_one_password_on_many_names_is_stopped_too(browser: httpx2.AsyncClient, pool: Pool) -> None:
    await send(browser, "/sign-in", {"name": "first", "password": PASSWORD})
    await pool.execute("update clawbench.attempts set tries = $1 where kind = 'sign_in_address'", PER_ADDRESS.tries)
    assert (await send(browser, "/sign-in", {"name": "second", "password": PASSWORD})).status_code == 429


@pytest.mark.parametrize(
    ("first", "second", "is_one_place"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:aaaa:bbbb:cccc:dddd", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("localhost", "localhost", True),
    ],
)
async def test_whoever_has_a_whole_network_has_no_more_tries(
    app: Starlette, pool: Pool, first: str, second: str, is_one_place: bool
) -> None:
    for address in (first, second):
        transport = httpx2.ASGITransport(app=app, client=(address, 1))
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as browser:
            await send(browser, "/sign-in", {"name": "somebody", "password": PASSWORD})
    tries = await pool.fetch("select tries from clawbench.attempts where kind = 'sign_in_address'")
    assert [row["tries"] for row in tries] == ([2] if is_one_place else [1, 1])


async def test_a_form_without_a_setup_link_costs_no_password_hash(browser: httpx2.AsyncClient) -> None:
    begun = process_time()
    hash_password(PASSWORD)
    one_hash = process_time() - begun
    csrf = csrf_in(await browser.get("/sign-in"))
    fields = {"csrf": csrf, "token": "nonsense", "password": PASSWORD, "password_again": PASSWORD}
    begun = process_time()
    answers = [await browser.post("/setup", data=fields) for _ in range(8)]
    assert process_time() - begun < 4 * one_hash
    assert {answer.status_code for answer in answers} == {404}


async def test_signing_in_rightly_does_not_use_tries_up(browser: httpx2.AsyncClient, pool: Pool) -> None:
    person = await somebody(pool)
    await set_up(browser, person)
    await pool.execute("update clawbench.sessions set authenticated_at = now() - interval '1 hour'")
    await send(browser, "/sign-in", {"name": person.user.name, "password": PASSWORD})
    assert await pool.fetchval("select sum(tries) from clawbench.attempts") == 0


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/setup", "/device"])
@pytest.mark.parametrize("csrf", [None, "", "0" * 64])
async def test_no_form_is_taken_that_this_browser_was_not_shown(
    app: Starlette, pool: Pool, path: str, csrf: str | None
) -> None:
    async with browser_of(app) as browser:
        await set_up(browser, await somebody(pool))
        fields = {"name": "x", "password": PASSWORD} | ({} if csrf is None else {"csrf": csrf})
        answer = await browser.post(path, data=fields)
        assert answer.status_code == 403
        assert "out of date" in answer.text


async def test_a_form_shown_to_another_browser_is_not_taken(app: Starlette, pool: Pool) -> None:
    async with browser_of(app) as mine, browser_of(app) as theirs:
        await set_up(mine, await somebody(pool))
        await set_up(theirs, await somebody(pool))
        answer = await mine.post("/sign-out", data={"csrf": csrf_in(await theirs.get("/device"))})
        assert answer.status_code == 403


@pytest.mark.parametrize(
    "bad",
    [
        "https://evil.test/",
        "//evil.test",
        "/\\evil.test",
        "/\t/evil.test",
        "\\\\evil.test",
        "javascript:alert(1)",
        "evil.test",
        "/a\r\nSet-Cookie: x=y",
        "",
        None,
    ],
)
def test_signing_in_never_leads_to_another_site(bad: str | None) -> None:
    assert our_path(bad) == "/"


@pytest.mark.parametrize("good", ["/", "/device", "/device?user_code=WDJB-MJHT", "/runs/1#events"])
def test_signing_in_leads_to_our_own_pages(good: str) -> None:
    assert our_path(good) == good


async def test_admin_pages_are_for_admins(browser: httpx2.AsyncClient, pool: Pool) -> None:
    person = await somebody(pool)
    assert (await browser.get("/admin-only")).headers["location"] == "/sign-in?next=/admin-only"
    await set_up(browser, person)
    assert (await browser.get("/admin-only")).status_code == 403
    await set_admin(pool, person.user.id, admin=True)
    assert (await browser.get("/admin-only")).text == person.user.name


async def test_an_admin_act_asks_for_the_password_again_after_a_quarter_of_an_hour(
    browser: httpx2.AsyncClient, pool: Pool
) -> None:
    person = await somebody(pool, admin=True)
    await set_up(browser, person)
    assert (await browser.get("/admin-just-now")).status_code == 200
    await pool.execute("update clawbench.sessions set authenticated_at = now() - interval '16 minutes'")
    asked = await browser.get("/admin-just-now")
    assert asked.headers["location"] == "/sign-in?next=/admin-just-now"
    page = await browser.get(asked.headers["location"])
    assert "Sign in again" in page.text
    await send(browser, asked.headers["location"], {"name": person.user.name, "password": PASSWORD})
    assert (await browser.get("/admin-just-now")).status_code == 200


async def test_every_page_carries_the_security_headers(browser: httpx2.AsyncClient) -> None:
    for path in ("/sign-in", "/setup", "/device"):
        answer = await browser.get(path)
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"


async def test_what_a_person_types_is_shown_as_text(browser: httpx2.AsyncClient) -> None:
    answer = await send(browser, "/sign-in", {"name": '"><script>alert(1)</script>', "password": "x"})
    assert "<script" not in answer.text


async def test_the_style_sheet_is_served(browser: httpx2.AsyncClient) -> None:
    sheet = await browser.get("/static/style.css")
    assert sheet.headers["content-type"].startswith("text/css")
    assert (await browser.get("/static/icon.svg")).status_code == 200
    assert (await browser.get("/static/../templates/base.html")).status_code == 404


async def test_the_form_cookie_of_a_stranger_is_for_this_host_https_and_no_script(browser: httpx2.AsyncClient) -> None:
    cookie = (await browser.get("/sign-in")).headers["set-cookie"].lower()
    assert cookie.startswith("__host-clawbench_form=")
    for attribute in ("httponly", "secure", "samesite=lax", "path=/"):
        assert attribute in cookie
    assert "domain" not in cookie


async def test_a_session_planted_before_is_not_the_one_after_signing_in(app: Starlette, pool: Pool) -> None:
    person, attacker = await somebody(pool), await somebody(pool)
    async with browser_of(app) as first, browser_of(app) as theirs, browser_of(app) as browser:
        await set_up(first, person)
        await set_up(theirs, attacker)
        planted = theirs.cookies[SESSION]
        browser.cookies.set(SESSION, planted, domain="clawbench.test")
        await pool.execute("update clawbench.sessions set authenticated_at = now() - interval '1 hour'")
        fields = {"name": person.user.name, "password": PASSWORD}
        assert (await send(browser, "/sign-in", fields)).status_code == 303
        assert browser.cookies[SESSION] != planted
        assert (await theirs.get("/device")).status_code == 303, "the planted session ended"
