"""People sign in with GitHub, which has no ID tokens: the same way there and back, to the same kind of account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import pytest_asyncio
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

from clawbench.errors import InvalidArguments
from clawbench.settings import Settings
from clawbench.store.db import Pool
from clawbench.store.identities import user_with_identity
from clawbench.store.users import create_user, user_named
from clawbench.web import upstream
from clawbench.web.github import GITHUB
from clawbench.web.issuer import upstream_of
from tests.sign_in_app import ORIGIN, app_on, browser_of
from tests.support.github import CLIENT_ID, CLIENT_SECRET, GitHubLike, github_like
from tests.support.process import free_port

SESSION = "__Host-clawbench_session"
TRIP = "__Host-clawbench_upstream"

SETTINGS = Settings(
    public_url=ORIGIN,
    oidc_issuer="https://github.com",
    oidc_client_id=CLIENT_ID,
    oidc_client_secret=SecretStr(CLIENT_SECRET),
)


@dataclass(frozen=True, slots=True)
class Visitor:
    """A browser, and the GitHub that it is sent to."""

    browser: httpx2.AsyncClient
    github: GitHubLike

    async def leave(self) -> str:
        """Go off; where GitHub sends the browser back to."""
        gone = await self.browser.get("/sign-in/upstream", params={"next": "/device"})
        assert gone.status_code == 303, gone.text
        async with httpx2.AsyncClient() as there:
            return (await there.get(gone.headers["location"])).headers["location"]

    async def sign_in(self) -> httpx2.Response:
        """There and back."""
        return await self.browser.get(await self.leave())

    @property
    def is_in(self) -> bool:
        return SESSION in self.browser.cookies


def app_with(pool: Pool, github: GitHubLike, settings: Settings = SETTINGS) -> Starlette:
    """The app as it is, but with GitHub on a loopback port."""
    known = app_on(pool)
    app = Starlette(routes=[*upstream.routes(github.described), *known.routes])
    app.state.deps = replace(known.state.deps, settings=settings)
    return app


@pytest_asyncio.fixture
async def github() -> AsyncIterator[GitHubLike]:
    async with github_like() as github:
        yield github


@pytest_asyncio.fixture
async def visitor(pool: Pool, github: GitHubLike) -> AsyncIterator[Visitor]:
    async with browser_of(app_with(pool, github)) as browser:
        yield Visitor(browser, github)


async def is_refused(visitor: Visitor, pool: Pool, *, status: int = 403) -> bool:
    """Whether the way back ends on an error page, without a session, an account or a word of what was given."""
    answer = await visitor.sign_in()
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert "gho_" not in answer.text
    assert "<b>" not in answer.text
    assert TRIP not in visitor.browser.cookies
    assert await pool.fetchval("select count(*) from clawbench.users") == 0
    return not visitor.is_in


async def test_the_first_sign_in_makes_an_account_that_is_no_admin(visitor: Visitor, pool: Pool) -> None:
    assert "Sign in with github.com" in (await visitor.browser.get("/sign-in")).text
    answer = await visitor.sign_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/device")
    assert "ada" in (await visitor.browser.get("/device")).text
    user = await user_named(pool, "ada")
    assert user is not None and not user.is_admin
    identity = await pool.fetchrow("select issuer, subject, user_id from clawbench.identities")
    assert identity is not None
    assert (identity["issuer"], identity["subject"]) == ("https://github.com", "1815")
    assert identity["user_id"] == user.id


async def test_github_is_asked_for_a_code_with_pkce_and_then_whose_token_came(visitor: Visitor) -> None:
    await visitor.sign_in()
    (asked,) = visitor.github.asked
    assert asked == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": f"{ORIGIN}/sign-in/callback",
        "scope": "read:user",
        "state": asked["state"],
        "code_challenge": asked["code_challenge"],
        "code_challenge_method": "S256",
    }
    assert asked["state"] != asked["code_challenge"]
    assert visitor.github.paths == ["/login/oauth/authorize", "/login/oauth/access_token", "/user"]


async def test_the_same_number_is_the_same_account_under_any_login(visitor: Visitor, pool: Pool) -> None:
    await visitor.sign_in()
    visitor.browser.cookies.clear()
    visitor.github.user["login"] = "countess"
    await visitor.sign_in()
    assert "ada" in (await visitor.browser.get("/device")).text
    assert await pool.fetchval("select count(*) from clawbench.users") == 1


async def test_a_login_that_somebody_gave_up_is_not_its_next_holders_account(visitor: Visitor, pool: Pool) -> None:
    await visitor.sign_in()
    visitor.browser.cookies.clear()
    visitor.github.user = {"id": 1816, "login": "ada"}
    await visitor.sign_in()
    assert await pool.fetchval("select count(distinct user_id) from clawbench.sessions") == 2


async def test_a_name_that_is_taken_gives_nobody_that_account(visitor: Visitor, pool: Pool) -> None:
    local = await create_user(pool, "Ada", admin=True)
    elsewhere = await user_with_identity(pool, issuer="https://i.test", subject="1815", proposed="ada")
    await visitor.sign_in()
    assert await pool.fetchval("select user_id from clawbench.sessions") not in (local.user.id, elsewhere.id)


async def test_a_sign_in_with_github_is_never_fresh(visitor: Visitor, pool: Pool) -> None:
    visitor.github.user["auth_time"] = 2**40
    for _ in range(2):
        await visitor.sign_in()
        assert not await pool.fetchval(
            "select authenticated_at > now() - interval '15 minutes' from clawbench.sessions"
        )
    assert "use a password" in (await visitor.browser.get("/sign-in")).text


@pytest.mark.parametrize("number", [None, "1815", 0, -1, True, 1815.0, [1815], 2**63])
async def test_a_user_without_a_number_signs_nobody_in(visitor: Visitor, pool: Pool, number: object) -> None:
    visitor.github.user["id"] = number
    assert await is_refused(visitor, pool)


async def test_a_user_without_a_login_is_named_by_us(visitor: Visitor, pool: Pool) -> None:
    visitor.github.user = {"id": 7}
    await visitor.sign_in()
    assert await pool.fetchval("select name from clawbench.users") == "person"


TOKEN, USER = "/login/oauth/access_token", "/user"
BROKEN: dict[str, tuple[str, Response, int]] = {
    "a refusal with status 200": (TOKEN, JSONResponse({"error": "bad_verification_code"}), 403),
    "a refusal that is told with markup": (
        TOKEN, JSONResponse({"error": "unverified_user_email", "error_description": "<b>gho_"}), 403
    ),
    "no token": (TOKEN, JSONResponse({"token_type": "bearer"}), 403),
    "a form, though JSON was asked for": (TOKEN, PlainTextResponse("access_token=gho_x&token_type=bearer"), 503),
    "a unicorn instead of a token": (TOKEN, HTMLResponse("<p>busy", 502), 503),
    "a token that fits into no header": (TOKEN, JSONResponse({"access_token": "gho_x\r\nX-Y: z"}), 503),
    "a token that it does not know": (TOKEN, JSONResponse({"access_token": "gho_x", "token_type": "bearer"}), 503),
    "no user": (USER, JSONResponse({}), 403),
    "a user that is no object": (USER, JSONResponse([{"id": 1815}]), 503),
    "a user that is no JSON": (USER, HTMLResponse("<p>busy"), 503),
    "too many requests": (USER, JSONResponse({"message": "API rate limit exceeded"}, 403), 503),
    "a user elsewhere": (USER, RedirectResponse("https://evil.test/user"), 503),
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_github_that_breaks_on_the_way_back_is_told(visitor: Visitor, pool: Pool, broken: str) -> None:
    path, answer, status = BROKEN[broken]
    visitor.github.instead[path] = answer
    assert await is_refused(visitor, pool, status=status)


async def test_a_github_that_is_down_is_told(pool: Pool) -> None:
    gone = GitHubLike(url=f"http://127.0.0.1:{free_port()}")
    async with browser_of(app_with(pool, gone)) as browser:
        left = await browser.get("/sign-in/upstream")
        state = parse_qs(urlsplit(left.headers["location"]).query)["state"][0]
        answer = await browser.get("/sign-in/callback", params={"code": "x", "state": state})
        assert answer.status_code == 503
        assert "cannot be asked who you are" in answer.text
        assert SESSION not in browser.cookies


async def test_a_wrong_client_secret_is_told_without_a_word_of_it(pool: Pool, github: GitHubLike) -> None:
    wrong = SETTINGS.model_copy(update={"oidc_client_secret": SecretStr("not ours")})
    async with browser_of(app_with(pool, github, wrong)) as browser:
        visitor = Visitor(browser, github)
        assert await is_refused(visitor, pool)


async def test_a_person_who_says_no_at_github_is_told(visitor: Visitor, pool: Pool) -> None:
    visitor.github.answer |= {"code": None, "error": "access_denied", "error_description": "<b>no</b>"}
    assert await is_refused(visitor, pool)
    assert visitor.github.paths == ["/login/oauth/authorize"]


@pytest.mark.parametrize("iss", ["https://github.com", "https://another.test", ""])
async def test_an_answer_under_another_name_is_not_redeemed(visitor: Visitor, pool: Pool, iss: str) -> None:
    visitor.github.answer["iss"] = iss
    assert await is_refused(visitor, pool)
    assert visitor.github.tokens == []


async def test_an_answer_without_a_name_is_still_githubs(visitor: Visitor) -> None:
    visitor.github.answer["iss"] = None
    await visitor.sign_in()
    assert visitor.is_in


async def test_the_way_back_is_for_the_browser_that_left_and_works_once(visitor: Visitor, pool: Pool) -> None:
    back = await visitor.leave()
    async with browser_of(app_with(pool, visitor.github)) as other:
        assert (await other.get(back)).status_code == 403
        assert SESSION not in other.cookies
    cookie = visitor.browser.cookies[TRIP]
    assert (await visitor.browser.get(back)).status_code == 303
    visitor.browser.cookies.clear()
    replayed = await visitor.browser.get(back, headers={"Cookie": f"{TRIP}={cookie}"})
    assert (replayed.status_code, visitor.is_in) == (403, False)
    assert len(visitor.github.tokens) == 1


async def test_a_code_of_another_way_is_not_taken(visitor: Visitor, pool: Pool) -> None:
    async with browser_of(app_with(pool, visitor.github)) as other:
        theirs = parse_qs(urlsplit(await Visitor(other, visitor.github).leave()).query)["code"][0]
    visitor.github.answer["code"] = theirs
    assert await is_refused(visitor, pool)
    assert visitor.github.tokens == []


def test_github_is_known_by_its_address() -> None:
    for address in ("https://github.com", "https://github.com/"):
        known = upstream_of(SETTINGS.model_copy(update={"oidc_issuer": address}))
        assert known is not None
        assert (known.github, known.issuer, known.name) == (GITHUB, "https://github.com", "github.com")
    other = upstream_of(SETTINGS.model_copy(update={"oidc_issuer": "https://github.com.test"}))
    assert other is not None and other.github is None


def test_every_address_of_github_is_https_and_its_own() -> None:
    endpoints = (GITHUB.authorization_endpoint, GITHUB.token_endpoint, GITHUB.user_endpoint)
    assert [urlsplit(at)[:2] for at in endpoints] == [
        ("https", "github.com"),
        ("https", "github.com"),
        ("https", "api.github.com"),
    ]


@pytest.mark.parametrize("secret", [None, SecretStr("")])
def test_github_without_a_secret_is_refused(secret: SecretStr | None) -> None:
    with pytest.raises(InvalidArguments):
        upstream_of(SETTINGS.model_copy(update={"oidc_client_secret": secret}))
