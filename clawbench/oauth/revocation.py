"""Revocation (RFC 7009): a refresh token ends its grant, an access token only itself."""

# pyright: reportUnknownMemberType=none, reportUnknownVariableType=none, reportIncompatibleMethodOverride=none

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from authlib.oauth2.rfc6749.errors import InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint

from clawbench.oauth.server import ClientView, Server
from clawbench.store.grants import Why, revoke_grant
from clawbench.store.refresh_tokens import lock_refresh_token
from clawbench.store.tokens import client_of_token, revoke_token


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """A token as Authlib asks about it."""

    client_id: str
    grant_id: UUID | None
    """None: it is an access token."""

    def check_client(self, client: ClientView) -> bool:
        return client.get_client_id() == self.client_id


class Revocation(RevocationEndpoint):
    """Takes either kind of token, whatever the hint says."""

    CLIENT_AUTH_METHODS = ["none"]  # noqa: RUF012 - Authlib's name and type
    server: Server

    def check_params(self, request: Any, client: ClientView) -> None:
        if "token" not in request.form:
            raise InvalidRequestError("token is missing")

    def query_token(self, token_string: str, token_type_hint: str | None) -> GivenBack | None:
        refresh = self.server.wait(lock_refresh_token(self.server.connection, token_string))
        if refresh is not None:
            return GivenBack(client_id=refresh.grant.client_id, grant_id=refresh.grant.id)
        client_id = self.server.wait(client_of_token(self.server.connection, token_string))
        return None if client_id is None else GivenBack(client_id=client_id, grant_id=None)

    def revoke_token(self, token: GivenBack, request: Any) -> None:
        if token.grant_id is None:
            self.server.wait(revoke_token(self.server.connection, request.form["token"]))
        else:
            self.server.wait(revoke_grant(self.server.connection, token.grant_id, Why.CLIENT))
