"""Signing in from a terminal: show a person a URL and a code, and wait for the token (RFC 8628, the client's side)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import anyio
import httpx2
from pydantic import BaseModel

from clawbench.credentials import Profile, server_url
from clawbench.errors import NotPermitted, Refused, Unavailable
from clawbench.model.caller import OFFERED_SCOPES, Scope
from clawbench.model.client import CLI, DEVICE_CODE_GRANT
from clawbench.token_client import TIMEOUT_S, Fault, Plain, Token, discover, fault_in, read, refused, send


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What to show the person."""

    url: str
    url_with_code: str
    code: str
    expires_in_s: int


class _Code(BaseModel):
    device_code: Plain
    user_code: Plain
    verification_uri: Plain
    verification_uri_complete: Plain
    expires_in: int
    interval: float = 5


async def log_in(
    server: str,
    tell: Callable[[Prompt], None],
    *,
    agent_name: str | None = None,
    scopes: Collection[Scope] = OFFERED_SCOPES,
    client: httpx2.AsyncClient | None = None,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
) -> Profile:
    """Sign in at a server; ``tell`` shows the person where to go, and this waits until they decided.

    Raises:
        NotPermitted: the person said no.
        Refused: the code expired, or the server did not accept the request.
        Unavailable: the server does not answer, or not as a ClawBench server does.
    """
    server = server_url(server)
    if client is None:
        async with httpx2.AsyncClient(timeout=TIMEOUT_S) as own:
            return await log_in(server, tell, agent_name=agent_name, scopes=scopes, client=own, sleep=sleep)
    metadata = await discover(client, server)
    asked = {"client_id": CLI.id, "scope": " ".join(scopes), "resource": f"{server}/mcp"}
    if agent_name is not None:
        asked["agent_name"] = agent_name
    code = read(_Code, await send(client, "POST", metadata.device_authorization_endpoint, asked))
    tell(
        Prompt(
            url=code.verification_uri,
            url_with_code=code.verification_uri_complete,
            code=code.user_code,
            expires_in_s=code.expires_in,
        )
    )
    token = await _wait(client, metadata.token_endpoint, code, sleep)
    return token.profile(server)


async def _wait(
    client: httpx2.AsyncClient, endpoint: str, code: _Code, sleep: Callable[[float], Awaitable[None]]
) -> Token:
    """Poll as told: every ``interval`` seconds, five more at each ``slow_down``, and less often when nobody answers."""
    asked = {"grant_type": DEVICE_CODE_GRANT, "client_id": CLI.id, "device_code": code.device_code}
    interval, deadline = code.interval, time.monotonic() + code.expires_in
    while time.monotonic() < deadline:
        await sleep(interval)
        try:
            answer = await send(client, "POST", endpoint, asked)
        except Unavailable:
            interval *= 2
            continue
        if answer.is_success:
            return read(Token, answer)
        match fault_in(answer):
            case Fault(error="authorization_pending"):
                pass
            case Fault(error="slow_down"):
                interval += 5
            case Fault(error="access_denied"):
                raise NotPermitted("the sign-in was denied in the browser", hint="Log in again if that was a mistake.")
            case Fault(error="expired_token"):
                break
            case fault:
                raise refused(fault)
    raise Refused("nobody approved the code in time", hint="Log in again.")
