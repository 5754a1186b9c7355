"""A client and a person's browser, as far as a sign-in needs them."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2

from clawbench.model.secret import new_secret
from tests.sign_in_app import ORIGIN, Person, csrf_in

RESOURCE = f"{ORIGIN}/mcp"
REDIRECT = "http://127.0.0.1/callback"
HERE = "http://127.0.0.1:41234/callback"


def challenge_of(verifier: str) -> str:
    """S256, as the client works it out."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")


@dataclass(frozen=True, kw_only=True)
class Asking:
    """One sign-in of one client."""

    client_id: str
    redirect_uri: str = HERE
    verifier: str = field(default_factory=new_secret)

    def address(self, **changed: str | None) -> str:
        """Where the client sends the browser; None leaves a parameter out."""
        fields: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": "clawbench:read clawbench:run",
            "state": "a state & more",
            "resource": RESOURCE,
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
            **changed,
        }
        return f"/oauth/authorize?{urlencode({k: v for k, v in fields.items() if v is not None})}"

    async def exchange(self, client: httpx2.AsyncClient, code: str, /, **changed: str | None) -> httpx2.Response:
        """Send the code in."""
        fields: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "code": code,
            "code_verifier": self.verifier,
            "resource": RESOURCE,
            **changed,
        }
        return await client.post("/oauth/token", data={k: v for k, v in fields.items() if v is not None})


async def register(client: httpx2.AsyncClient, **metadata: object) -> httpx2.Response:
    """Ask for a client id."""
    asked = {"client_name": "Claude Code", "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none"}
    return await client.post("/oauth/register", json={**asked, **metadata})


async def registered(client: httpx2.AsyncClient, *redirect_uris: str) -> str:
    """A client id."""
    answer = await register(client, redirect_uris=list(redirect_uris or [REDIRECT]))
    assert answer.status_code == 201, answer.text
    return answer.json()["client_id"]


async def decide(browser: httpx2.AsyncClient, asked_at: str, **fields: str) -> httpx2.Response:
    """Follow the client's link to the consent page and send its form."""
    sent_on = await browser.get(asked_at)
    assert sent_on.status_code == 303, sent_on.text
    page = await browser.get(sent_on.headers["location"])
    assert page.status_code == 200, page.text
    request = parse_qs(urlsplit(sent_on.headers["location"]).query)["request"][0]
    return await browser.post("/consent", data={"csrf": csrf_in(page), "request": request, **fields})


def told_in(answer: httpx2.Response) -> dict[str, str]:
    """What a redirect tells the client."""
    assert answer.status_code == 303, answer.text
    query = parse_qs(urlsplit(answer.headers["location"]).query, strict_parsing=True)
    assert all(len(values) == 1 for values in query.values())
    return {name: values[0] for name, values in query.items()}


async def code_for(browser: httpx2.AsyncClient, asking: Asking, person: Person, **changed: str | None) -> str:
    """The code of an approved sign-in."""
    answer = await decide(browser, asking.address(**changed), agent=str(person.agent.id), decision="approve")
    return told_in(answer)["code"]


async def signed_in(browser: httpx2.AsyncClient, person: Person) -> tuple[Asking, dict[str, Any]]:
    """A client that went through the whole of it, and what it was given."""
    asking = Asking(client_id=await registered(browser))
    answer = await asking.exchange(browser, await code_for(browser, asking, person))
    assert answer.status_code == 200, answer.text
    return asking, answer.json()


async def refresh(client: httpx2.AsyncClient, asking: Asking, refresh_token: str, **fields: str) -> httpx2.Response:
    """Exchange a refresh token."""
    asked = {"grant_type": "refresh_token", "client_id": asking.client_id, "refresh_token": refresh_token, **fields}
    return await client.post("/oauth/token", data=asked)


async def opens(client: httpx2.AsyncClient, access_token: str) -> bool:
    """Whether a token is good at the protected resource."""
    return (await client.get("/mcp", headers={"Authorization": f"Bearer {access_token}"})).status_code == 200


def error_of(answer: httpx2.Response) -> str:
    """The error of an answer in the shape of RFC 6749 §5.2."""
    assert answer.status_code == 400, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) <= {"error", "error_description"}
    return answer.json()["error"]
