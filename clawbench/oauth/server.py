"""Authlib's authorization server, for one request on one connection.

Its core is synchronous and untyped, and only this module, ``core`` and ``grants`` know it. It runs in a worker thread;
what it stores or looks up goes back to the event loop and its open transaction.
"""

# Authlib has no types of its own, and the stubs that pyright knows are those of an older Authlib.
# pyright: reportUnknownMemberType=none, reportUnknownVariableType=none, reportIncompatibleMethodOverride=none

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import anyio.from_thread
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from clawbench.model.caller import OFFERED_SCOPES, Scope
from clawbench.model.client import Client
from clawbench.model.decision import Approved
from clawbench.model.redirect import may_redirect
from clawbench.model.secret import ACCESS_TOKEN_PREFIX, REFRESH_TOKEN_PREFIX, new_secret
from clawbench.settings import Settings
from clawbench.store.clients import client_with_id
from clawbench.store.db import Connection
from clawbench.store.grants import Grant
from clawbench.store.refresh_tokens import save_refresh_token
from clawbench.store.tokens import save_token

T = TypeVar("T")

ACCESS_LIFETIME = timedelta(hours=1)

logging.getLogger("authlib").setLevel(logging.INFO)  # at DEBUG it writes live tokens into the log


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back to the client."""

    status: int
    body: dict[str, object]
    headers: dict[str, str]


class ClientView:
    """A client as Authlib asks about it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get_client_id(self) -> str:
        return self._client.id

    def get_default_redirect_uri(self) -> None:
        """There is none: a client says where the answer goes."""

    def get_allowed_scope(self, scope: str | None) -> str:
        asked = (scope or "").split() or OFFERED_SCOPES
        return " ".join(dict.fromkeys(asked))

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return any(may_redirect(registered, redirect_uri) for registered in self._client.redirect_uris)

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "none"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self._client.grant_types


class RequestView(OAuth2Request):
    """The request as Authlib asks about it; the address is the configured one, whatever a proxy made of it."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        # Authlib refuses plain http by the address it is told; which schemes are served is the operator's word.
        super().__init__("POST", "https://localhost/")
        self.fields = dict(fields)
        self.payload = BasicOAuth2Payload(self.fields)

    @property
    def form(self) -> dict[str, str]:
        return self.fields


class Server(AuthorizationServer):
    """The authorization server for one request: its connection is inside the request's transaction."""

    def __init__(self, connection: Connection, settings: Settings, fields: Mapping[str, str]) -> None:
        super().__init__(scopes_supported=list(OFFERED_SCOPES))
        self.connection = connection
        self.settings = settings
        self.fields = fields

    def wait(self, storing: Coroutine[Any, Any, T]) -> T:
        """Run what stores or looks up on the event loop, and wait for it in this thread."""

        async def on_the_loop() -> T:
            return await storing

        return anyio.from_thread.run(on_the_loop)

    def require_own_resource(self) -> None:
        """RFC 8707: tokens are for this server only."""
        if self.fields.get("resource") not in (None, self.settings.resource):
            raise OAuth2Error(error="invalid_target", description=f"tokens are for {self.settings.resource} only")

    def query_client(self, client_id: str) -> ClientView | None:
        client = self.wait(client_with_id(self.connection, client_id))
        return None if client is None else ClientView(client)

    def generate_token(
        self, *_: object, user: Approved, scope: str, include_refresh_token: bool, **__: object
    ) -> dict[str, object]:
        token: dict[str, object] = {
            "token_type": "Bearer",
            "access_token": new_secret(ACCESS_TOKEN_PREFIX),
            "expires_in": int(ACCESS_LIFETIME.total_seconds()),
            "scope": " ".join(sorted(set(scope.split()))),
            "agent_name": user.agent_name,
        }
        if include_refresh_token:
            token["refresh_token"] = new_secret(REFRESH_TOKEN_PREFIX)
        return token

    def keep(self, token: Mapping[str, str], grant: Grant) -> None:
        """Store what is given under a grant."""
        self.wait(
            save_token(
                self.connection,
                token["access_token"],
                user_id=grant.approved.user_id,
                agent_id=grant.approved.agent_id,
                client_id=grant.client_id,
                scopes={Scope(one) for one in token["scope"].split()},
                resource=grant.resource,
                lifetime=ACCESS_LIFETIME,
                grant_id=grant.id,
            )
        )
        if "refresh_token" in token:
            self.wait(save_refresh_token(self.connection, token["refresh_token"], grant.id))

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: object) -> OAuth2Request:
        return RequestView(self.fields)

    def handle_response(self, status: int, body: dict[str, object], headers: list[tuple[str, str]]) -> Answer:
        return Answer(status=status, body=body, headers=dict(headers))
