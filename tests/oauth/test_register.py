"""Any program may register itself: as a public client, for good, with redirects that lead back to it alone."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx2
import pytest

from clawbench.oauth.register import REGISTERING
from clawbench.store.db import Pool
from tests.oauth.flow import Asking, error_of, refresh, register, signed_in
from tests.sign_in_app import Person


async def test_a_client_gets_an_id_and_never_a_secret(browser: httpx2.AsyncClient) -> None:
    answer = await register(browser, token_endpoint_auth_method="client_secret_post", scope="clawbench:admin")
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert told.pop("client_id")
    assert abs(told.pop("client_id_issued_at") - datetime.now(UTC).timestamp()) < 60
    assert told == {
        "client_name": "Claude Code",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "clawbench:read clawbench:run",
    }


async def test_two_registrations_are_two_clients(browser: httpx2.AsyncClient) -> None:
    first, second = (await register(browser)).json(), (await register(browser)).json()
    assert first["client_id"] != second["client_id"]


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost/callback",
        "http://127.0.0.1:33418/",
        "http://[::1]:8080/callback",
        "https://client.example/oauth/callback?tenant=1",
        "cursor://anysphere.cursor-retrieval/oauth/callback",
        "com.example.app:/oauth",
    ],
)
async def test_redirects_that_real_clients_have_are_taken(browser: httpx2.AsyncClient, uri: str) -> None:
    answer = await register(browser, redirect_uris=[uri])
    assert answer.status_code == 201
    assert answer.json()["redirect_uris"] == [uri]
    shown = await browser.get(Asking(client_id=answer.json()["client_id"], redirect_uri=uri).address())
    assert shown.headers["location"].startswith("/consent")


@pytest.mark.parametrize(
    "uris",
    [
        ["javascript:alert(1)"],
        ["http://evil.test/callback"],
        ["https://client.test/callback", "data:text/html,x"],
        ["https://client.test/#fragment"],
        ["https://user@client.test/"],
        ["https:/client.test/"],
        [""],
        [],
        ["https://client.test/" + "x" * 1000],
        [f"https://client.test/{number}" for number in range(11)],
        "https://client.test/",
        [1],
        None,
    ],
)
async def test_other_redirects_are_refused(browser: httpx2.AsyncClient, pool: Pool, uris: object) -> None:
    assert error_of(await register(browser, redirect_uris=uris)) == "invalid_redirect_uri"
    assert await pool.fetchval("select count(*) from clawbench.clients") == 0


@pytest.mark.parametrize(
    "metadata",
    [
        {"client_name": "x" * 101},
        {"client_name": "\u202egnihtemos"},
        {"client_name": "a\0b"},
        {"client_name": 7},
        {"grant_types": ["client_credentials"]},
        {"grant_types": ["urn:ietf:params:oauth:grant-type:device_code"]},
        {"response_types": ["token"]},
    ],
)
async def test_metadata_that_cannot_be_meant_is_refused(
    browser: httpx2.AsyncClient, metadata: dict[str, object]
) -> None:
    assert error_of(await register(browser, **metadata)) == "invalid_client_metadata"


async def test_a_client_may_have_no_name_and_anything_else_besides(browser: httpx2.AsyncClient) -> None:
    answer = await register(browser, client_name=None, client_uri="https://x.test", contacts=["a"], jwks={"keys": []})
    assert answer.status_code == 201
    assert answer.json()["client_name"] == "a program without a name"
    assert "contacts" not in answer.json()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("redirect_uris=x", "application/x-www-form-urlencoded"),
        ("{", "application/json"),
        ("[]", "application/json"),
        ("null", "application/json"),
        ('{"client_name": "' + "x" * 20_000 + '"}', "application/json"),
    ],
)
async def test_what_is_not_metadata_at_all_is_refused(browser: httpx2.AsyncClient, content: str, kind: str) -> None:
    answer = await browser.post("/oauth/register", content=content, headers={"Content-Type": kind})
    assert error_of(answer) in ("invalid_request", "invalid_client_metadata")


async def test_clients_cannot_be_registered_without_end(browser: httpx2.AsyncClient, pool: Pool) -> None:
    assert (await register(browser)).status_code == 201
    await pool.execute("update clawbench.attempts set tries = $1 where kind = 'registration'", REGISTERING.tries)
    answer = await register(browser)
    assert answer.status_code == 429
    assert answer.json()["error"] == "temporarily_unavailable"
    assert 0 < int(answer.headers["retry-after"]) <= 3601


async def test_a_registered_client_has_no_device_flow(browser: httpx2.AsyncClient, person: Person) -> None:
    asking, _ = await signed_in(browser, person)
    answer = await browser.post("/oauth/device_authorization", data={"client_id": asking.client_id})
    assert error_of(answer) == "unauthorized_client"


async def test_a_client_that_is_not_known_any_more_hears_invalid_client_and_can_register_anew(
    browser: httpx2.AsyncClient,
) -> None:
    assert error_of(await refresh(browser, Asking(client_id="forgotten"), "cbr_old")) == "invalid_client"
