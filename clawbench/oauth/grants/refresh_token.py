"""Refresh (RFC 6749 §6): each token is exchanged for the next, and one that comes back later ends its grant."""

# pyright: reportUnknownMemberType=none, reportUnknownVariableType=none, reportIncompatibleMethodOverride=none

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from authlib.oauth2.rfc6749.grants import RefreshTokenGrant

from clawbench.model.client import REFRESH_TOKEN_GRANT
from clawbench.model.decision import Approved
from clawbench.oauth.server import ClientView, Server
from clawbench.store.grants import Why, revoke_grant
from clawbench.store.refresh_tokens import RefreshToken, lock_refresh_token, rotate_refresh_token


class RefreshView:
    """A refresh token as Authlib asks about it."""

    def __init__(self, token: RefreshToken) -> None:
        self.token = token

    def get_scope(self) -> str:
        return " ".join(sorted(self.token.grant.scopes))

    def check_client(self, client: ClientView) -> bool:
        return client.get_client_id() == self.token.grant.client_id


class Refresh(RefreshTokenGrant):
    """Rotates a refresh token."""

    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]  # noqa: RUF012 - Authlib's name and type
    GRANT_TYPE = REFRESH_TOKEN_GRANT
    INCLUDE_NEW_REFRESH_TOKEN = True
    server: Server

    def validate_token_request(self) -> None:
        self.server.require_own_resource()
        super().validate_token_request()

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshView | None:
        connection = self.server.connection
        token = self.server.wait(lock_refresh_token(connection, refresh_token))
        if token is None or token.grant.client_id != self.server.fields["client_id"]:
            return None
        if token.is_reused:
            self.server.wait(revoke_grant(connection, token.grant.id, Why.REUSED_REFRESH_TOKEN))
            return None
        return RefreshView(token)

    def authenticate_user(self, refresh_token: RefreshView) -> Approved:
        return refresh_token.token.grant.approved

    def save_token(self, token: Mapping[str, str]) -> None:
        self.server.keep(token, cast(RefreshView, self.request.refresh_token).token.grant)

    def revoke_old_credential(self, refresh_token: RefreshView) -> None:
        self.server.wait(rotate_refresh_token(self.server.connection, refresh_token.token.id))
