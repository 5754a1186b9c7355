"""Bearer tokens at the door: who is calling, or a 401 that leads to where one can sign in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from clawbench.door import challenge, deps_of
from clawbench.errors import NotAuthenticated, Refused
from clawbench.model.caller import Caller, Scope
from clawbench.model.secret import ACCESS_TOKEN_PREFIX, API_KEY_PREFIX, new_secret
from clawbench.store.agents import Agent
from clawbench.store.api_keys import caller_with_key
from clawbench.store.db import Db
from clawbench.store.tokens import caller_with, save_token
from clawbench.store.users import user_with_id


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A new token, known in full only now."""

    text: str = field(repr=False)
    expires_at: datetime
    scopes: frozenset[Scope]


async def authenticate(pool: Db, settings_resource: str, authorization_header: str | None) -> Caller:
    """The caller behind an ``Authorization`` header with an access token or an API key.

    Raises:
        NotAuthenticated: no bearer token, or one that is unknown, expired, revoked or meant for another server.
    """
    token = _bearer(authorization_header)
    if token and token.startswith(API_KEY_PREFIX):
        caller = await caller_with_key(pool, token)
    else:
        caller = await caller_with(pool, token, resource=settings_resource) if token else None
    if caller is None:
        raise NotAuthenticated("the bearer token is not valid here" if token else "this needs a bearer token")
    return caller


async def issue_token(
    pool: Db, *, agent: Agent, scopes: Collection[Scope], lifetime: timedelta, resource: str
) -> IssuedToken:
    """A token from the operator, for an agent and its owner.

    Raises:
        Refused: the agent is archived, or the scopes hold admin and the owner is not one.
    """
    if agent.is_archived:
        raise Refused(f"the agent {agent.name} is archived")
    if Scope.ADMIN in scopes:
        owner = await user_with_id(pool, agent.owner_id)
        if owner is None or not owner.is_admin:
            raise Refused(f"the owner of {agent.name} is not an admin", hint="Make the owner an admin first.")
    text = new_secret(ACCESS_TOKEN_PREFIX)
    expires_at = await save_token(
        pool,
        text,
        user_id=agent.owner_id,
        agent_id=agent.id,
        client_id=None,
        scopes=scopes,
        resource=resource,
        lifetime=lifetime,
    )
    return IssuedToken(text=text, expires_at=expires_at, scopes=frozenset(scopes))


class RequireBearer:
    """Lets a request through to ``app`` with its ``Caller`` in ``scope["state"]["caller"]``, or answers 401."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Check the token of HTTP requests; anything else has no business here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        deps, header = deps_of(connection), connection.headers.get("authorization")
        try:
            caller = await authenticate(deps.pool, deps.settings.resource, header)
        except NotAuthenticated as refusal:
            told = challenge(deps.settings.origin, error="invalid_token" if _bearer(header) else None)
            headers = {"WWW-Authenticate": told, "Cache-Control": "no-store"}
            await JSONResponse({"error": refusal.as_dict()}, refusal.status, headers)(scope, receive, send)
            return
        await self._app({**scope, "state": {**scope.get("state", {}), "caller": caller}}, receive, send)


def _bearer(header: str | None) -> str | None:
    kind, _, token = (header or "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None
