"""What the endpoints ask of Authlib's core, each in one transaction and one worker thread."""

# pyright: reportUnknownMemberType=none, reportUnknownVariableType=none

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import anyio
import anyio.to_thread
from authlib.oauth2 import OAuth2Error

from clawbench.door import DoorDeps
from clawbench.model.caller import Scope
from clawbench.model.redirect import answered
from clawbench.oauth.grants.authorization_code import S256, AuthorizationCode
from clawbench.oauth.grants.device_code import DeviceAuthorization, DeviceCodes
from clawbench.oauth.grants.refresh_token import Refresh
from clawbench.oauth.revocation import Revocation
from clawbench.oauth.server import Answer, Server
from clawbench.store.authorizations import save_authorization

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Workers:
    """How many requests may be in Authlib's core; the others wait without a connection."""

    turns: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(8))
    threads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(8))


async def ask(what: Callable[[Server], T], deps: DoorDeps, fields: Mapping[str, str], workers: Workers) -> T:
    """Run Authlib's core on the fields of one request.

    A refusal commits too: that a client polls too fast, or that a grant ends, must be remembered.
    """
    async with workers.turns, deps.pool.acquire() as connection, connection.transaction():
        server = Server(connection, deps.settings, fields)
        return await anyio.to_thread.run_sync(what, server, limiter=workers.threads)


def device_authorization(server: Server) -> Answer:
    """RFC 8628 §3.1: a client asks for a code."""
    server.register_endpoint(DeviceAuthorization)
    return cast(Answer, server.create_endpoint_response(DeviceAuthorization.ENDPOINT_NAME))


def token(server: Server) -> Answer:
    """RFC 6749 §3.2: a client asks for its tokens."""
    server.register_grant(AuthorizationCode, [S256()])
    server.register_grant(Refresh)
    server.register_grant(DeviceCodes)
    return cast(Answer, server.create_token_response())


def revocation(server: Server) -> Answer:
    """RFC 7009: a client gives back what it was given."""
    server.register_endpoint(Revocation)
    return cast(Answer, server.create_endpoint_response(Revocation.ENDPOINT_NAME))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The request is in order, and waits for a person's decision."""

    request: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentBack:
    """The client has to be told what is wrong with its request."""

    redirect_uri: str
    uri: str = field(repr=False)
    """The redirect URI with the error in it."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedAway:
    """The request is nobody's: it leads nowhere, and the person is told."""

    why: str


def authorization(server: Server) -> Asked | SentBack | TurnedAway:
    """RFC 6749 §4.1.1: a client asks, through a person's browser, to act for them."""
    server.register_grant(AuthorizationCode, [S256()])
    try:
        grant = cast(Any, server.get_consent_grant())
    except OAuth2Error as fault:
        why = fault.get_error_description() or "the request is not in order"
        if fault.redirect_uri is None:
            return TurnedAway(why=why)
        told = {"error": str(fault.error), "error_description": why}
        issuer, state = server.settings.origin, server.fields.get("state")
        uri = answered(fault.redirect_uri, issuer=issuer, state=state, **told)
        return SentBack(redirect_uri=fault.redirect_uri, uri=uri, why=why)
    request = server.wait(
        save_authorization(
            server.connection,
            client_id=grant.client.get_client_id(),
            redirect_uri=grant.redirect_uri,
            scopes={Scope(scope) for scope in grant.request.scope.split()},
            resource=server.settings.resource,
            state=server.fields.get("state"),
            code_challenge=server.fields["code_challenge"],
        )
    )
    return Asked(request=request)
