"""A client that was answered 401 finds its way from the challenge to the token endpoint."""

from __future__ import annotations

import re

import pytest

from clawbench.store.db import Pool
from tests.sign_in_app import ORIGIN, app_on, browser_of


async def test_the_challenge_leads_to_the_resource_and_on_to_its_authorization_server(pool: Pool) -> None:
    async with browser_of(app_on(pool)) as client:
        refused = await client.get("/mcp")
        found = re.search(r'resource_metadata="([^"]+)"', refused.headers["www-authenticate"])
        assert found is not None
        resource = (await client.get(found[1])).json()
        assert resource["resource"] == f"{ORIGIN}/mcp"
        assert resource["authorization_servers"] == [ORIGIN]
        server = (await client.get(f"{ORIGIN}/.well-known/oauth-authorization-server")).json()
    assert server["issuer"] == ORIGIN
    assert server["device_authorization_endpoint"] == f"{ORIGIN}/oauth/device_authorization"
    assert server["token_endpoint"] == f"{ORIGIN}/oauth/token"
    assert server["authorization_endpoint"] == f"{ORIGIN}/oauth/authorize"
    assert server["registration_endpoint"] == f"{ORIGIN}/oauth/register"
    assert server["revocation_endpoint"] == f"{ORIGIN}/oauth/revoke"
    assert server["code_challenge_methods_supported"] == ["S256"]
    assert server["response_types_supported"] == ["code"]
    assert server["authorization_response_iss_parameter_supported"] is True
    assert server["grant_types_supported"] == [
        "authorization_code",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:device_code",
    ]


async def test_nothing_is_promised_that_is_not_there(pool: Pool) -> None:
    async with browser_of(app_on(pool)) as client:
        told = (await client.get("/.well-known/oauth-authorization-server")).json()
    absent = {"client_id_metadata_document_supported", "introspection_endpoint", "jwks_uri", "userinfo_endpoint"}
    assert not absent & set(told)


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/mcp",
        "/mcp/.well-known/openid-configuration",
    ],
)
async def test_it_is_also_where_some_clients_look_for_it(pool: Pool, path: str) -> None:
    async with browser_of(app_on(pool)) as client:
        there = await client.get(path)
        assert there.json() == (await client.get("/.well-known/oauth-authorization-server")).json()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/.well-known/oauth-protected-resource/mcp"),
        ("GET", "/.well-known/oauth-authorization-server"),
        ("POST", "/oauth/register"),
        ("POST", "/oauth/token"),
        ("POST", "/oauth/revoke"),
    ],
)
async def test_a_client_that_is_a_web_page_may_ask_from_its_own_origin(pool: Pool, method: str, path: str) -> None:
    page = {"Origin": "http://localhost:6274"}
    asked = {
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "content-type,mcp-protocol-version",
    }
    async with browser_of(app_on(pool)) as client:
        allowed = await client.options(path, headers={**page, **asked})
        assert allowed.status_code == 200
        assert method in allowed.headers["access-control-allow-methods"]
        answer = await client.request(method, path, headers=page)
    for each in (allowed, answer):
        assert each.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in each.headers


@pytest.mark.parametrize("path", ["/oauth/authorize", "/oauth/device_authorization", "/consent", "/device", "/sign-in"])
async def test_no_web_page_reads_what_is_for_people_or_terminals(pool: Pool, path: str) -> None:
    asked = {"Origin": "https://evil.test", "Access-Control-Request-Method": "POST"}
    async with browser_of(app_on(pool)) as client:
        for method in ("OPTIONS", "GET", "POST"):
            answer = await client.request(method, path, headers=asked)
            assert "access-control-allow-origin" not in answer.headers


async def test_both_forms_of_the_resource_metadata_say_the_same(pool: Pool) -> None:
    async with browser_of(app_on(pool)) as client:
        plain = await client.get("/.well-known/oauth-protected-resource")
        with_path = await client.get("/.well-known/oauth-protected-resource/mcp")
    assert plain.json() == with_path.json()


@pytest.mark.parametrize("path", ["oauth-protected-resource", "oauth-authorization-server"])
async def test_admin_is_never_offered(pool: Pool, path: str) -> None:
    async with browser_of(app_on(pool)) as client:
        told = (await client.get(f"/.well-known/{path}")).json()
    assert told["scopes_supported"] == ["clawbench:read", "clawbench:run"]


async def test_addresses_come_from_the_settings_and_not_from_the_request(pool: Pool) -> None:
    async with browser_of(app_on(pool), origin="http://10.0.0.7:8100") as client:
        told = await client.get("/.well-known/oauth-authorization-server", headers={"Host": "evil.test"})
    assert "evil" not in told.text
    assert "10.0.0.7" not in told.text
