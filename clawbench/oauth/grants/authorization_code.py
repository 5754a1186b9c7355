"""Authorization code with PKCE (RFC 6749 §4.1, RFC 7636): S256 only, and a code is good once."""

# pyright: reportUnknownMemberType=none, reportUnknownVariableType=none, reportIncompatibleMethodOverride=none

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from authlib.oauth2.rfc6749.errors import InvalidRequestError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7636.challenge import compare_s256_code_challenge

from clawbench.model.client import AUTHORIZATION_CODE_GRANT
from clawbench.model.decision import Approved
from clawbench.oauth.server import ClientView, Server
from clawbench.store.authorizations import Code, lock_code, redeem_code
from clawbench.store.grants import Why, make_grant, revoke_grant

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class S256(CodeChallenge):
    """PKCE as OAuth 2.1 has it: Authlib would take a request without a challenge, and ``plain``."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012 - Authlib's name and type
    CODE_CHALLENGE_METHODS = {"S256": compare_s256_code_challenge}  # noqa: RUF012

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        asked = grant.request.payload.data
        if asked.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(asked.get("code_challenge", "")):
            raise InvalidRequestError("PKCE is required: a code_challenge, and code_challenge_method=S256")


class CodeView:
    """An authorization code as Authlib asks about it."""

    code_challenge_method = "S256"

    def __init__(self, code: Code) -> None:
        self.code = code
        self.code_challenge = code.code_challenge

    def get_redirect_uri(self) -> str:
        return self.code.redirect_uri

    def get_scope(self) -> str:
        return " ".join(sorted(self.code.scopes))


class AuthorizationCode(AuthorizationCodeGrant):
    """Checks what a client asks through a browser, and redeems the code that came of it."""

    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]  # noqa: RUF012 - Authlib's name and type
    GRANT_TYPE = AUTHORIZATION_CODE_GRANT
    server: Server

    @staticmethod
    def validate_authorization_redirect_uri(request: Any, client: ClientView) -> str:
        uri = request.payload.redirect_uri
        if not uri or not client.check_redirect_uri(uri):
            raise InvalidRequestError("redirect_uri is not one that this client registered")
        return uri

    def validate_requested_scope(self) -> None:
        self.server.require_own_resource()
        super().validate_requested_scope()

    def validate_token_request(self) -> None:
        self.server.require_own_resource()
        super().validate_token_request()

    def query_authorization_code(self, code: str, client: ClientView) -> CodeView | None:
        found = self.server.wait(lock_code(self.server.connection, code, client_id=client.get_client_id()))
        if found is None or found.is_expired:
            return None
        if found.gave is not None:
            if found.is_reused:
                self.server.wait(revoke_grant(self.server.connection, found.gave, Why.REUSED_CODE))
            return None
        return CodeView(found)

    def authenticate_user(self, authorization_code: CodeView) -> Approved:
        return authorization_code.code.approved

    def save_token(self, token: Mapping[str, str]) -> None:
        code = cast(CodeView, self.request.authorization_code).code
        connection = self.server.connection
        grant = self.server.wait(
            make_grant(connection, code.approved, client_id=code.client_id, scopes=code.scopes, resource=code.resource)
        )
        self.server.keep(token, grant)
        self.server.wait(redeem_code(connection, code.authorization_id, grant_id=grant.id))

    def delete_authorization_code(self, authorization_code: CodeView) -> None:
        """It is kept, used up, so that using it again is noticed."""
