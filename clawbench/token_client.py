"""The client's side of the authorization server: where it is, and what becomes of a token that one has."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import anyio
import httpx2
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from clawbench.credentials import Profile, login_needed
from clawbench.errors import Refused, Unavailable
from clawbench.model.client import CLI


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("characters that cannot be shown")
    return text


Plain = Annotated[str, Field(pattern=r"^[!-~]{1,2000}$")]
"""Text that is safe to print on a terminal."""
Printable = Annotated[str, AfterValidator(_printable)]
"""The same, of any script."""

TIMEOUT_S = 30.0
RENEWED_WITHIN_S = 8.0
"""Claude Code and Codex stop a header helper after ten seconds."""

_TRY_S = 3.5


class Metadata(BaseModel):
    """What a client needs of RFC 8414's metadata."""

    issuer: Plain
    device_authorization_endpoint: Plain
    token_endpoint: Plain
    revocation_endpoint: Plain | None = None


class Token(BaseModel):
    """A token answer."""

    access_token: Plain
    expires_in: int
    refresh_token: Plain | None = None
    scope: str
    agent_name: Plain

    def profile(self, server: str) -> Profile:
        """The sign-in that it is."""
        return Profile(
            server=server,
            access_token=self.access_token,
            expires_at=datetime.now(UTC) + timedelta(seconds=self.expires_in),
            refresh_token=self.refresh_token,
            agent_name=self.agent_name,
            scopes=tuple(self.scope.split()),
        )


class Identity(BaseModel):
    """Who the server says one is."""

    user: Printable
    agent: Plain
    scopes: tuple[Plain, ...]


class Fault(BaseModel):
    """An OAuth error answer."""

    error: str
    error_description: str = ""


class _Envelope(BaseModel):
    data: Identity


Answer = TypeVar("Answer", bound=BaseModel)


async def renew(profile: Profile, *, client: httpx2.AsyncClient | None = None) -> Profile:
    """Trade the refresh token for a new pair.

    Raises:
        NotAuthenticated: there is no refresh token, or the server takes it no more.
        Refused: the server did not accept the request.
        Unavailable: the server does not answer in time, or not as a ClawBench server does.
    """
    if profile.refresh_token is None:
        raise login_needed(profile.server, f"the sign-in at {profile.server} has expired")
    asked = {"grant_type": "refresh_token", "client_id": CLI.id, "refresh_token": profile.refresh_token}
    try:
        with anyio.fail_after(RENEWED_WITHIN_S):
            async with _client(client, timeout=_TRY_S) as http:
                metadata = await discover(http, profile.server)
                answer = await _sent_twice(http, metadata.token_endpoint, asked)
    except TimeoutError:
        raise Unavailable(f"{profile.server} does not answer in time", hint="Try again in a moment.") from None
    if not answer.is_success and fault_in(answer).error == "invalid_grant":
        raise login_needed(profile.server, f"the sign-in at {profile.server} is no longer good")
    token = read(Token, answer)
    return replace(token.profile(profile.server), refresh_token=token.refresh_token or profile.refresh_token)


async def revoke(profile: Profile, *, client: httpx2.AsyncClient | None = None) -> None:
    """End the sign-in at the server (RFC 7009): a refresh token takes everything of its grant with it.

    Raises:
        Refused: the server did not accept the request.
        Unavailable: the server does not answer, or cannot revoke.
    """
    async with _client(client, timeout=TIMEOUT_S) as http:
        metadata = await discover(http, profile.server)
        if metadata.revocation_endpoint is None:
            raise Unavailable(f"{profile.server} revokes no tokens", hint="Ask its operator to revoke yours.")
        asked = {"client_id": CLI.id, "token": profile.refresh_token or profile.access_token}
        answer = await send(http, "POST", metadata.revocation_endpoint, asked)
        if not answer.is_success:
            raise refused(fault_in(answer))


async def identity(profile: Profile, *, client: httpx2.AsyncClient | None = None) -> Identity:
    """Who the server says this is.

    Raises:
        NotAuthenticated: the token is not good.
        Unavailable: the server does not answer, or not as a ClawBench server does.
    """
    async with _client(client, timeout=TIMEOUT_S) as http:
        answer = await send(http, "GET", f"{profile.server}/api/v1/whoami", token=profile.access_token)
    if answer.status_code == 401:
        raise login_needed(profile.server, f"the sign-in at {profile.server} is no longer good")
    return read(_Envelope, answer).data


async def discover(client: httpx2.AsyncClient, server: str) -> Metadata:
    """Where the server's endpoints are.

    Raises:
        Refused: the server goes by another name.
        Unavailable: the server does not answer, or not as a ClawBench server does.
    """
    metadata = read(Metadata, await send(client, "GET", f"{server}/.well-known/oauth-authorization-server"))
    if metadata.issuer != server:
        raise Refused(f"this server calls itself {metadata.issuer}", hint=f"Log in with --server {metadata.issuer}.")
    endpoints = (metadata.device_authorization_endpoint, metadata.token_endpoint, metadata.revocation_endpoint)
    if not all(endpoint is None or endpoint.startswith(f"{server}/") for endpoint in endpoints):
        raise Refused("this server has its tokens handed out elsewhere", hint="It is not a ClawBench server.")
    return metadata


async def send(
    client: httpx2.AsyncClient,
    method: str,
    url: str,
    fields: dict[str, str] | None = None,
    *,
    token: str | None = None,
) -> httpx2.Response:
    """One request, and its answer unless that is no answer at all."""
    headers = {"Accept": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        answer = await client.request(method, url, data=fields, headers=headers)
    except (httpx2.HTTPError, httpx2.InvalidURL) as fault:
        raise Unavailable(
            f"{url} does not answer: {type(fault).__name__}", hint="Check the URL and the network."
        ) from fault
    if answer.status_code >= 500:
        raise Unavailable(f"{url} answered {answer.status_code}", hint="Try again in a moment.")
    return answer


def read(shape: type[Answer], answer: httpx2.Response) -> Answer:
    """What the answer says, in the shape that it must have."""
    if not answer.is_success:
        raise refused(fault_in(answer))
    try:
        return shape.model_validate_json(answer.content)
    except ValidationError:
        # from None: the cause would show the answer, which may hold a token
        raise Unavailable(
            f"{answer.url.host} does not answer as a ClawBench server does", hint="Check the URL."
        ) from None


def fault_in(answer: httpx2.Response) -> Fault:
    """The OAuth error of an answer that is one."""
    try:
        return Fault.model_validate_json(answer.content)
    except ValidationError:
        return Fault(error=f"HTTP {answer.status_code}")


def refused(fault: Fault) -> Refused:
    """An OAuth error as a person can read it."""
    said = " ".join(part for part in (fault.error, fault.error_description) if part)
    printable = "".join(letter for letter in said if letter.isprintable())
    return Refused(printable[:500], hint="Check the URL and the names.")


async def _sent_twice(client: httpx2.AsyncClient, url: str, fields: dict[str, str]) -> httpx2.Response:
    """Ask again at once if there is no answer: the tokens may be traded and the new ones lost on the way.

    The server gives another pair for a short while; later it would take the old token for a stolen one.
    """
    try:
        return await send(client, "POST", url, fields)
    except Unavailable:
        return await send(client, "POST", url, fields)


@asynccontextmanager
async def _client(given: httpx2.AsyncClient | None, *, timeout: float) -> AsyncGenerator[httpx2.AsyncClient]:
    if given is not None:
        yield given
        return
    async with httpx2.AsyncClient(timeout=timeout) as own:
        yield own
