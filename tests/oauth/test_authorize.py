"""The authorization endpoint lets nothing through that the client did not register or PKCE does not protect."""

from __future__ import annotations

import re

import httpx2
import pytest

from clawbench.oauth.authorize import ASKING
from clawbench.store.db import Pool
from tests.oauth.flow import HERE, REDIRECT, Asking, registered, told_in
from tests.sign_in_app import ORIGIN, app_on, browser_of


async def asking_of(client: httpx2.AsyncClient, *redirect_uris: str) -> Asking:
    return Asking(client_id=await registered(client, *redirect_uris))


async def waiting(pool: Pool) -> int:
    return await pool.fetchval("select count(*) from clawbench.authorizations")


async def test_a_request_in_order_leads_to_the_consent_page(browser: httpx2.AsyncClient, pool: Pool) -> None:
    asking = await asking_of(browser)
    answer = await browser.get(asking.address())
    assert answer.status_code == 303
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert re.fullmatch(r"/consent\?request=[\w-]{43}", answer.headers["location"])
    row = await pool.fetchrow("select z::text as everything from clawbench.authorizations z")
    assert row is not None
    assert answer.headers["location"].partition("=")[2] not in row["everything"]


async def test_the_port_of_a_loopback_redirect_is_the_clients_choice(browser: httpx2.AsyncClient) -> None:
    asking = await asking_of(browser, "http://localhost:3118/callback", "http://[::1]/callback")
    for uri in ("http://localhost:50001/callback", "http://localhost/callback", "http://[::1]:50001/callback"):
        assert (await browser.get(asking.address(redirect_uri=uri))).headers["location"].startswith("/consent")


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"client_id": "clawbench-cli"},
        {"redirect_uri": None},
        {"redirect_uri": "https://evil.test/callback"},
        {"redirect_uri": f"{HERE}/more"},
        {"redirect_uri": f"{HERE}?more=1"},
        {"redirect_uri": f"{HERE}#fragment"},
        {"redirect_uri": "http://127.0.0.1:41234@evil.test/callback"},
        {"redirect_uri": "http://localhost:41234/callback"},
        {"redirect_uri": 'http://127.0.0.1"\\/callback'},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "https://evil.test/callback", "response_type": "token"},
        {"response_type": 'co"de'},
        {"state": "a\nb"},
        {"state": "é"},
        {"state": "x" * 9000},
    ],
)
async def test_what_is_nobodys_request_leads_nowhere(
    browser: httpx2.AsyncClient, pool: Pool, changed: dict[str, str | None]
) -> None:
    asking = await asking_of(browser)
    answer = await browser.get(asking.address(**changed))
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "This sign-in cannot go on" in answer.text
    assert "evil" not in answer.text
    assert await waiting(pool) == 0


async def test_a_parameter_given_twice_leads_nowhere(browser: httpx2.AsyncClient) -> None:
    asking = await asking_of(browser)
    for again in ("redirect_uri=https://evil.test/", "state=2", "code_challenge=2", "resource=https://evil.test"):
        answer = await browser.get(f"{asking.address()}&{again}")
        assert answer.status_code == 400
        assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "x" * 42}, "invalid_request"),
        ({"code_challenge": "x" * 42 + "="}, "invalid_request"),
        ({"scope": "clawbench:admin"}, "invalid_scope"),
        ({"scope": "clawbench:read clawbench:admin"}, "invalid_scope"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"resource": "https://elsewhere.test/mcp"}, "invalid_target"),
        ({"resource": ORIGIN}, "invalid_target"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
    ],
)
async def test_a_client_hears_what_is_wrong_with_its_request(
    browser: httpx2.AsyncClient, pool: Pool, changed: dict[str, str | None], error: str
) -> None:
    asking = await asking_of(browser)
    answer = await browser.get(asking.address(**changed))
    assert answer.headers["location"].startswith(f"{HERE}?")
    told = told_in(answer)
    assert told.pop("error_description")
    assert told == {"error": error, "state": "a state & more", "iss": ORIGIN}
    assert await waiting(pool) == 0


async def test_without_scope_resource_and_state_the_request_is_for_all_that_is_offered(
    browser: httpx2.AsyncClient, pool: Pool
) -> None:
    asking = await asking_of(browser)
    answer = await browser.get(asking.address(scope=None, resource=None, state=""))
    assert answer.headers["location"].startswith("/consent")
    row = await pool.fetchrow("select scopes, resource, state from clawbench.authorizations")
    assert row is not None
    assert (row["scopes"], row["resource"], row["state"]) == (
        ["clawbench:read", "clawbench:run"],
        f"{ORIGIN}/mcp",
        None,
    )


async def test_behind_a_proxy_that_ends_tls_it_is_the_configured_origin_that_counts(pool: Pool) -> None:
    async with browser_of(app_on(pool), origin="http://10.0.0.7:8100") as client:
        asking = await asking_of(client)
        assert (await client.get(asking.address())).headers["location"].startswith("/consent")
        assert told_in(await client.get(asking.address(scope="x")))["iss"] == ORIGIN


async def test_a_query_that_the_redirect_has_already_is_kept(browser: httpx2.AsyncClient) -> None:
    asking = await asking_of(browser, "cursor://app/back?tenant=a%20b")
    answer = await browser.get(asking.address(redirect_uri="cursor://app/back?tenant=a%20b", scope="x"))
    assert answer.headers["location"].startswith("cursor://app/back?tenant=a%20b&error=invalid_scope&")


async def test_nobody_is_sent_to_a_web_site_that_registered_itself_without_having_chosen_to(
    browser: httpx2.AsyncClient,
) -> None:
    asking = await asking_of(browser, "https://client.test/back")
    answer = await browser.get(asking.address(redirect_uri="https://client.test/back", scope="x", state='"><b>'))
    assert answer.status_code == 400
    assert "location" not in answer.headers
    way_back = re.search(r'<a href="([^"]+)">Go back to client.test</a>', answer.text)
    assert way_back is not None
    assert way_back[1].startswith("https://client.test/back?error=invalid_scope&amp;")
    assert "<b>" not in answer.text


async def test_requests_cannot_be_made_without_end(browser: httpx2.AsyncClient, pool: Pool) -> None:
    asking = await asking_of(browser, REDIRECT)
    assert (await browser.get(asking.address())).status_code == 303
    await pool.execute("update clawbench.attempts set tries = $1 where kind = 'authorization'", ASKING.tries)
    answer = await browser.get(asking.address())
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


async def test_another_page_cannot_use_a_persons_requests_up_by_showing_images(
    browser: httpx2.AsyncClient, pool: Pool
) -> None:
    address = (await asking_of(browser, REDIRECT)).address()
    for dest in ("image", "iframe", "empty"):
        assert (await browser.get(address, headers={"Sec-Fetch-Dest": dest})).status_code == 403
    assert await waiting(pool) == 0
    assert await pool.fetchval("select count(*) from clawbench.attempts where kind = 'authorization'") == 0
    assert (await browser.get(address, headers={"Sec-Fetch-Dest": "document"})).status_code == 303
