"""The stock MCP client finds its way from a 401 to the resource, and refreshes when its token is over."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
import pytest
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from clawbench.store.db import Pool
from tests.oauth.flow import HERE, RESOURCE, decide, told_in
from tests.sign_in_app import ORIGIN, Person, app_on


@dataclass
class Storage:
    """What a client keeps between its starts."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@dataclass
class Someone:
    """The person at the browser that the client opens."""

    browser: httpx2.AsyncClient
    person: Person
    told: dict[str, str] | None = None
    asked: int = 0

    async def open(self, url: str) -> None:
        assert url.startswith(f"{ORIGIN}/oauth/authorize?")
        self.asked += 1
        parts = urlsplit(url)
        answer = await decide(
            self.browser, f"{parts.path}?{parts.query}", agent=str(self.person.agent.id), decision="approve"
        )
        self.told = told_in(answer)

    async def called_back(self) -> AuthorizationCodeResult:
        assert self.told is not None
        return AuthorizationCodeResult(code=self.told["code"], state=self.told["state"], iss=self.told["iss"])


def client_of(pool: Pool, storage: Storage, someone: Someone) -> httpx2.AsyncClient:
    auth = OAuthClientProvider(
        RESOURCE,
        OAuthClientMetadata(
            client_name="Tester", redirect_uris=[AnyUrl(HERE)], grant_types=["authorization_code", "refresh_token"]
        ),
        storage,
        redirect_handler=someone.open,
        callback_handler=someone.called_back,
    )
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app_on(pool)), base_url=ORIGIN, auth=auth)


@pytest.mark.promise("clients-sign-in")
async def test_it_registers_signs_in_and_refreshes_by_itself(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    storage, someone = Storage(), Someone(browser, person)
    async with client_of(pool, storage, someone) as client:
        answer = await client.get("/mcp")
        assert answer.json() == {"agent": person.agent.name, "scopes": ["clawbench:read", "clawbench:run"]}
        assert storage.client is not None
        assert storage.client.client_secret is None
        assert storage.tokens is not None
        first = storage.tokens
        assert (await client.get("/mcp")).status_code == 200
        auth = client.auth
        assert isinstance(auth, OAuthClientProvider)
        auth.context.token_expiry_time = 1
        assert (await client.get("/mcp")).status_code == 200
    assert storage.tokens.access_token != first.access_token
    assert storage.tokens.refresh_token != first.refresh_token
    assert someone.asked == 1


async def test_after_its_grant_was_revoked_it_asks_the_person_again_as_the_same_client(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    storage, someone = Storage(), Someone(browser, person)
    async with client_of(pool, storage, someone) as client:
        assert (await client.get("/mcp")).status_code == 200
    await pool.execute("update clawbench.grants set revoked_at = now(), revoked_why = 'user'")
    async with client_of(pool, storage, someone) as client:
        assert (await client.get("/mcp")).status_code == 200
    assert someone.asked == 2
    assert await pool.fetchval("select count(*) from clawbench.clients") == 1
