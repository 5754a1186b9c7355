"""People sign in with an OpenID issuer of the operator's choice, and nobody signs in with what only looks like one."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from time import time
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from joserfc.jwk import RSAKey
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from clawbench.errors import InvalidArguments
from clawbench.settings import Settings
from clawbench.store.db import Pool
from clawbench.store.identities import user_with_identity
from clawbench.store.users import create_user, user_named
from clawbench.web.issuer import upstream_of
from tests.sign_in_app import ORIGIN, PASSWORD, app_on, browser_of, csrf_in, send, set_up, somebody
from tests.support.issuer import CLIENT_ID, CLIENT_SECRET, Claims, OpenIdIssuer, open_id_issuer
from tests.support.process import free_port

SESSION = "__Host-clawbench_session"
TRIP = "__Host-clawbench_upstream"


@dataclass(frozen=True, slots=True)
class Visitor:
    """A browser, and the issuer that it is sent to."""

    browser: httpx2.AsyncClient
    issuer: OpenIdIssuer

    async def leave(self, next_path: str = "/device") -> str:
        """Go off; where the issuer sends the browser back to."""
        gone = await self.browser.get("/sign-in/upstream", params={"next": next_path})
        assert gone.status_code == 303, gone.text
        async with httpx2.AsyncClient() as there:
            return (await there.get(gone.headers["location"])).headers["location"]

    async def sign_in(self, next_path: str = "/device") -> httpx2.Response:
        """There and back."""
        return await self.browser.get(await self.leave(next_path))

    @property
    def is_in(self) -> bool:
        return SESSION in self.browser.cookies


def settings_for(issuer: OpenIdIssuer) -> Settings:
    secret = None if issuer.public_client else SecretStr(CLIENT_SECRET)
    return Settings(
        public_url=ORIGIN,
        oidc_issuer=issuer.url,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret=secret,
        oidc_name="Example ID",
    )


def app_with(pool: Pool, issuer: OpenIdIssuer) -> Starlette:
    app = app_on(pool)
    app.state.deps = replace(app.state.deps, settings=settings_for(issuer))
    return app


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[OpenIdIssuer]:
    async with open_id_issuer() as issuer:
        yield issuer


@pytest_asyncio.fixture
async def visitor(pool: Pool, issuer: OpenIdIssuer) -> AsyncIterator[Visitor]:
    async with browser_of(app_with(pool, issuer)) as browser:
        yield Visitor(browser, issuer)


async def is_refused(visitor: Visitor, *, status: int = 403) -> bool:
    """Whether the way back ends on an error page, without a session, an account or a word of the token."""
    answer = await visitor.sign_in()
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert "eyJ" not in answer.text
    assert TRIP not in visitor.browser.cookies
    return not visitor.is_in


@pytest.mark.promise("openid")
async def test_the_first_sign_in_makes_an_account_that_is_no_admin(visitor: Visitor, pool: Pool) -> None:
    page = await visitor.browser.get("/sign-in?next=/device")
    assert "Sign in with Example ID" in page.text
    assert 'href="/sign-in/upstream?next=/device"' in page.text
    answer = await visitor.sign_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/device")
    assert "ada" in (await visitor.browser.get("/device")).text
    user = await user_named(pool, "ada")
    assert user is not None and not user.is_admin


async def test_what_is_asked_of_the_issuer_is_a_code_with_pkce_state_and_nonce(visitor: Visitor) -> None:
    await visitor.sign_in()
    (asked,) = visitor.issuer.asked
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == f"{ORIGIN}/sign-in/callback"
    assert "openid" in asked["scope"].split()
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    assert "prompt" not in asked


async def test_a_public_client_has_no_secret(pool: Pool) -> None:
    async with open_id_issuer() as issuer:
        issuer.public_client = True
        async with browser_of(app_with(pool, issuer)) as browser:
            visitor = Visitor(browser, issuer)
            await visitor.sign_in()
            assert visitor.is_in


async def test_the_same_person_gets_the_same_account_under_any_name(visitor: Visitor, pool: Pool) -> None:
    await visitor.sign_in()
    visitor.browser.cookies.clear()
    visitor.issuer.person["preferred_username"] = "countess"
    await visitor.sign_in()
    assert "ada" in (await visitor.browser.get("/device")).text
    assert await pool.fetchval("select count(*) from clawbench.users") == 1


async def test_a_name_that_is_taken_gives_nobody_that_account(visitor: Visitor, pool: Pool) -> None:
    local = await create_user(pool, "Ada", admin=True)
    await visitor.sign_in()
    signed_in = await pool.fetchval("select user_id from clawbench.sessions")
    assert signed_in != local.user.id
    made = await user_named(pool, "ada-2")
    assert made is not None and made.id == signed_in


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "ada"}, "ada"),
        ({"email": "ada@example.test"}, "ada"),
        ({"name": "Ada L."}, "Ada L."),
        ({}, "person"),
        ({"preferred_username": " a\n\x00d\u202ea "}, "a d a"),
        ({"preferred_username": "x" * 500}, "x" * 60),
        ({"preferred_username": "Operator"}, "Operator-2"),
        ({"preferred_username": ["ada"]}, "['ada']"),
    ],
)
async def test_a_name_comes_of_what_the_issuer_knows(visitor: Visitor, pool: Pool, claims: Claims, name: str) -> None:
    visitor.issuer.person = {"sub": "1", **claims}
    await visitor.sign_in()
    assert await pool.fetchval("select name from clawbench.users") == name


async def test_two_first_sign_ins_at_once_make_one_account(pool: Pool) -> None:
    found = await asyncio.gather(
        *(user_with_identity(pool, issuer="https://i.test", subject="1", proposed="ada") for _ in range(8))
    )
    assert len({user.id for user in found}) == 1
    assert await pool.fetchval("select count(*) from clawbench.users") == 1


async def test_one_subject_of_two_issuers_is_two_people(pool: Pool) -> None:
    one = await user_with_identity(pool, issuer="https://i.test", subject="1", proposed="ada")
    two = await user_with_identity(pool, issuer="https://j.test", subject="1", proposed="ada")
    assert one.id != two.id


async def test_local_passwords_still_work(visitor: Visitor, pool: Pool) -> None:
    person = await somebody(pool)
    await set_up(visitor.browser, person)
    visitor.browser.cookies.clear()
    await send(visitor.browser, "/sign-in", {"name": person.user.name, "password": PASSWORD})
    assert visitor.is_in


def _replaced(**claims: object) -> Callable[[Claims], Claims]:
    return lambda told: {name: value for name, value in {**told, **claims}.items() if value is not None}


BAD_CLAIMS: dict[str, Callable[[Claims], Claims]] = {
    "another nonce": _replaced(nonce="another"),
    "no nonce": _replaced(nonce=None),
    "another audience": _replaced(aud="somebody-else"),
    "no audience": _replaced(aud=None),
    "two audiences and no authorized party": _replaced(aud=[CLIENT_ID, "somebody-else"]),
    "another authorized party": _replaced(aud=[CLIENT_ID, "somebody-else"], azp="somebody-else"),
    "another issuer": _replaced(iss="https://another.test"),
    "no issuer": _replaced(iss=None),
    "expired": _replaced(exp=int(time()) - 3600),
    "no expiry": _replaced(exp=None),
    "issued tomorrow": _replaced(iat=int(time()) + 86400, nbf=int(time()) + 86400),
    "no subject": _replaced(sub=None),
    "an empty subject": _replaced(sub=""),
    "a subject that is a number": _replaced(sub=7),
    "a subject that cannot be read": _replaced(sub="a\0b"),
    "a subject that is too long": _replaced(sub="x" * 256),
    "another access token's hash": _replaced(at_hash="x" * 22),
    "a time of authentication that is none": _replaced(auth_time="yesterday"),
    "a time of authentication that no calendar has": _replaced(auth_time=1e300),
    "an expiry that is none": _replaced(exp="tomorrow"),
    "an audience that is none": _replaced(aud={"x": 1}),
}


@pytest.mark.parametrize("bad", BAD_CLAIMS)
async def test_an_id_token_with_a_wrong_claim_signs_nobody_in(visitor: Visitor, pool: Pool, bad: str) -> None:
    visitor.issuer.more = BAD_CLAIMS[bad]
    assert await is_refused(visitor)
    assert await pool.fetchval("select count(*) from clawbench.users") == 0


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _with_public_key_as_secret(issuer: OpenIdIssuer) -> Callable[[Claims], str]:
    def sign(claims: Claims) -> str:
        signed = f"{_part({'alg': 'HS256', 'kid': issuer.key.kid})}.{_part(claims)}"
        mac = hmac.new(issuer.key.as_pem(private=False), signed.encode(), sha256).digest()
        return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    return sign


BAD_SIGNATURES: dict[str, Callable[[OpenIdIssuer], Callable[[Claims], str]]] = {
    "another key": lambda issuer: lambda claims: issuer.signed(claims, RSAKey.generate_key(2048, private=True)),
    "no algorithm": lambda issuer: lambda claims: f"{_part({'alg': 'none'})}.{_part(claims)}.",
    "the public key as an HMAC secret": _with_public_key_as_secret,
    "no signature": lambda issuer: lambda claims: issuer.signed(claims).rpartition(".")[0] + ".",
    "claims changed afterwards": lambda issuer: (
        lambda claims: ".".join(
            [(parts := issuer.signed(claims).split("."))[0], _part({**claims, "sub": "root"}), parts[2]]
        )
    ),
    "no token": lambda issuer: lambda claims: "",
    "no JWT": lambda issuer: lambda claims: "a.b.c",
}


@pytest.mark.parametrize("bad", BAD_SIGNATURES)
async def test_an_id_token_that_the_issuer_did_not_sign_signs_nobody_in(visitor: Visitor, bad: str) -> None:
    visitor.issuer.sign = BAD_SIGNATURES[bad](visitor.issuer)
    assert await is_refused(visitor)


async def test_a_key_that_the_issuer_has_just_changed_to_is_known_at_once(visitor: Visitor) -> None:
    await visitor.sign_in()
    visitor.browser.cookies.clear()
    visitor.issuer.key = RSAKey.generate_key(2048, {"kid": "new"}, private=True)
    await visitor.sign_in()
    assert visitor.is_in


async def test_the_way_back_is_for_the_browser_that_left(visitor: Visitor, pool: Pool) -> None:
    back = await visitor.leave()
    async with browser_of(app_with(pool, visitor.issuer)) as other:
        assert (await other.get(back)).status_code == 403
        begun = Visitor(other, visitor.issuer)
        own = await begun.leave()
        assert (await other.get(back)).status_code == 403
        assert not begun.is_in
        await other.get(own)
        assert begun.is_in, "another's way back does not spoil one's own"


async def test_the_way_back_works_once(visitor: Visitor) -> None:
    back = await visitor.leave()
    cookie = visitor.browser.cookies[TRIP]
    assert (await visitor.browser.get(back)).status_code == 303
    assert TRIP not in visitor.browser.cookies
    visitor.browser.cookies.clear()
    assert (await visitor.browser.get(back)).status_code == 403
    replayed = await visitor.browser.get(back, headers={"Cookie": f"{TRIP}={cookie}"})
    assert replayed.status_code == 403
    assert not visitor.is_in
    assert len(visitor.issuer.redeemed) == 1


@pytest.mark.parametrize("iss", ["https://another.test", "", None])
async def test_an_answer_of_another_issuer_is_not_redeemed(visitor: Visitor, iss: str | None) -> None:
    visitor.issuer.answer["iss"] = iss
    assert await is_refused(visitor)
    assert visitor.issuer.redeemed == []


async def test_an_issuer_that_does_not_name_itself_on_answers_still_works(visitor: Visitor) -> None:
    visitor.issuer.discovery["authorization_response_iss_parameter_supported"] = False
    visitor.issuer.answer["iss"] = None
    await visitor.sign_in()
    assert visitor.is_in


async def test_a_person_who_says_no_at_the_issuer_is_told(visitor: Visitor) -> None:
    visitor.issuer.answer |= {"code": None, "error": "access_denied", "error_description": "<script>no</script>"}
    back = await visitor.leave()
    answer = await visitor.browser.get(back)
    assert answer.status_code == 403
    assert "Example ID did not sign you in" in answer.text
    assert "script" not in answer.text


async def test_an_issuer_that_is_down_is_told_and_passwords_still_work(pool: Pool) -> None:
    gone = OpenIdIssuer(url=f"http://127.0.0.1:{free_port()}")
    person = await somebody(pool)
    async with browser_of(app_with(pool, gone)) as browser:
        answer = await browser.get("/sign-in/upstream")
        assert answer.status_code == 503
        assert "Example ID cannot be asked" in answer.text
        assert answer.headers["retry-after"]
        await set_up(browser, person)
        assert SESSION in browser.cookies


BROKEN: dict[str, tuple[str, Response, int]] = {
    "no token": ("/token", Response(status_code=500), 503),
    "a token that is no JSON": ("/token", HTMLResponse("<p>busy"), 503),
    "a token that is no object": ("/token", JSONResponse([]), 503),
    "an answer without an ID token": ("/token", JSONResponse({"access_token": "x", "token_type": "Bearer"}), 403),
    "no keys": ("/jwks", Response(status_code=404), 503),
    "keys that are no object": ("/jwks", JSONResponse([]), 503),
    "an empty set of keys": ("/jwks", JSONResponse({"keys": []}), 403),
    "keys that are none": ("/jwks", JSONResponse({"keys": ["x"]}), 403),
    "keys elsewhere": ("/jwks", RedirectResponse("https://evil.test/jwks"), 503),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_an_issuer_that_breaks_on_the_way_back_is_told(visitor: Visitor, broken: str) -> None:
    path, answer, status = BROKEN[broken]
    visitor.issuer.instead[path] = answer
    assert await is_refused(visitor, status=status)


async def test_an_issuer_that_goes_down_in_between_is_told(visitor: Visitor) -> None:
    back = await visitor.leave()
    visitor.issuer.discovery["issuer"] = None
    answer = await visitor.browser.get(back)
    assert (answer.status_code, visitor.is_in) == (503, False)


@pytest.mark.parametrize(
    "told",
    [
        {"issuer": "https://another.test"},
        {"issuer": None},
        {"token_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": "file:///etc/passwd"},
    ],
)
async def test_a_discovery_document_that_is_not_the_issuers_is_not_followed(visitor: Visitor, told: Claims) -> None:
    visitor.issuer.discovery = told
    assert (await visitor.browser.get("/sign-in/upstream")).status_code == 503


@pytest.mark.parametrize("next_path", ["https://evil.test/", "//evil.test", "/\\evil.test"])
async def test_the_way_back_never_leads_to_another_site(visitor: Visitor, next_path: str) -> None:
    assert (await visitor.sign_in(next_path)).headers["location"] == "/"


async def test_a_cookie_made_up_leads_nowhere_else_either(visitor: Visitor) -> None:
    back = await visitor.leave("/device")
    secret = visitor.browser.cookies[TRIP].partition(".")[0]
    visitor.browser.cookies.clear()
    answer = await visitor.browser.get(back, headers={"Cookie": f"{TRIP}={secret}.https%3A%2F%2Fevil.test"})
    assert answer.headers["location"] == "/"


async def test_the_cookie_of_the_way_is_for_this_host_https_and_no_script(visitor: Visitor) -> None:
    gone = await visitor.browser.get("/sign-in/upstream")
    cookie = gone.headers["set-cookie"].lower()
    assert cookie.startswith(TRIP.lower() + "=")
    for attribute in ("httponly", "secure", "samesite=lax", "path=/", "max-age=600"):
        assert attribute in cookie


async def test_signing_in_replaces_the_session_that_was_there(visitor: Visitor, pool: Pool) -> None:
    await set_up(visitor.browser, await somebody(pool))
    before = visitor.browser.cookies[SESSION]
    await pool.execute("update clawbench.sessions set authenticated_at = now() - interval '1 hour'")
    await visitor.sign_in()
    assert visitor.browser.cookies[SESSION] != before
    assert await pool.fetchval("select count(*) from clawbench.sessions") == 1


_FRESH = "select authenticated_at > now() - interval '15 minutes' from clawbench.sessions"


async def test_a_sign_in_is_as_fresh_as_the_issuer_says(visitor: Visitor, pool: Pool) -> None:
    visitor.issuer.more = _replaced(auth_time=int(time()) - 3600)
    await visitor.sign_in()
    assert not await pool.fetchval(_FRESH)
    visitor.issuer.more = _replaced()
    await visitor.sign_in()
    assert visitor.issuer.asked[-1]["prompt"] == "login"
    assert visitor.issuer.asked[-1]["max_age"] == "0"
    assert await pool.fetchval(_FRESH)


@pytest.mark.parametrize("auth_time", [None, int(time()) + 10**6])
async def test_an_issuer_cannot_make_a_sign_in_fresher_than_now(
    visitor: Visitor, pool: Pool, auth_time: int | None
) -> None:
    visitor.issuer.more = _replaced(auth_time=auth_time)
    await visitor.sign_in()
    assert await pool.fetchval(_FRESH) == (auth_time is not None)
    page = await visitor.browser.get("/sign-in")
    assert ("use a password" in page.text) == (auth_time is None)
    assert await pool.fetchval("select authenticated_at <= now() from clawbench.sessions")


async def test_an_admin_proves_anew_at_the_issuer_who_they_are(visitor: Visitor, pool: Pool) -> None:
    await visitor.sign_in()
    assert (await visitor.browser.get("/admin/people")).status_code == 403
    await pool.execute("update clawbench.users set is_admin = true")
    assert (await visitor.browser.get("/admin/people")).status_code == 200
    await pool.execute("update clawbench.sessions set authenticated_at = now() - interval '16 minutes'")
    asked = (await visitor.browser.get("/admin/people")).headers["location"]
    assert 'href="/sign-in/upstream?next=/admin/people"' in (await visitor.browser.get(asked)).text
    assert (await visitor.sign_in("/admin/people")).headers["location"] == "/admin/people"
    assert (await visitor.browser.get("/admin/people")).status_code == 200


async def test_without_an_issuer_the_sign_in_page_says_nothing_of_one(pool: Pool) -> None:
    async with browser_of(app_on(pool)) as browser:
        page = await browser.get("/sign-in")
        assert "upstream" not in page.text
        assert csrf_in(page)
        assert (await browser.get("/sign-in/upstream")).status_code == 404
        assert (await browser.get("/sign-in/callback?state=x&code=y")).status_code == 404


@pytest.mark.parametrize(
    "half",
    [
        {"oidc_issuer": "https://i.test"},
        {"oidc_client_id": "x"},
        {"oidc_issuer": "http://i.test", "oidc_client_id": "x"},
        {"oidc_issuer": "i.test", "oidc_client_id": "x"},
    ],
)
def test_an_issuer_configured_by_half_is_refused(half: dict[str, str]) -> None:
    with pytest.raises(InvalidArguments):
        upstream_of(Settings.model_validate(half))


def test_an_issuer_without_a_name_is_called_by_its_host() -> None:
    upstream = upstream_of(Settings(oidc_issuer="https://id.example.test/realms/x", oidc_client_id="c"))
    assert upstream is not None
    assert upstream.name == "id.example.test"


async def test_another_page_cannot_use_a_persons_tries_up_by_showing_images(visitor: Visitor, pool: Pool) -> None:
    shown = await visitor.browser.get("/sign-in/upstream", headers={"Sec-Fetch-Dest": "image"})
    assert shown.status_code == 403
    assert TRIP not in visitor.browser.cookies
    assert await pool.fetchval("select count(*) from clawbench.attempts") == 0
