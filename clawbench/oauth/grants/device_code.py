"""The device flow (RFC 8628): a client without a browser asks for a code, and redeems it once."""

# pyright: reportUnknownMemberType=none, reportUnknownVariableType=none, reportIncompatibleMethodOverride=none

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidGrantError, UnauthorizedClientError
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant

from clawbench.model.caller import Scope
from clawbench.model.client import DEVICE_CODE_GRANT
from clawbench.model.decision import Approved, Denied
from clawbench.model.secret import new_secret, new_user_code, shown, typed
from clawbench.oauth.server import ClientView, Server
from clawbench.store.agents import AGENT_NAME
from clawbench.store.device_codes import DeviceCode, lock_device_code, note_poll, redeem_device_code, save_device_code
from clawbench.store.grants import make_grant


class DeviceAuthorization(DeviceAuthorizationEndpoint):
    """Makes a device code and a user code."""

    CLIENT_AUTH_METHODS = ["none"]  # noqa: RUF012 - Authlib's name and type
    EXPIRES_IN = 600
    server: Server

    def authenticate_client(self, request: Any) -> ClientView:
        client: ClientView = super().authenticate_client(request)
        if not client.check_grant_type(DEVICE_CODE_GRANT):
            raise UnauthorizedClientError("this client signs in through a browser")
        return client

    def create_endpoint_response(self, request: Any) -> Any:
        self.server.require_own_resource()
        agent_name = self.server.fields.get("agent_name")
        if agent_name and AGENT_NAME.fullmatch(agent_name) is None:
            raise OAuth2Error(error="invalid_request", description="agent_name cannot be the name of an agent")
        return super().create_endpoint_response(request)

    def generate_device_code(self) -> str:
        return new_secret()

    def generate_user_code(self) -> str:
        return shown(new_user_code())

    def get_verification_uri(self) -> str:
        return f"{self.server.settings.origin}/device"

    def save_device_credential(self, client_id: str, scope: str, data: Mapping[str, str]) -> None:
        saved = self.server.wait(
            save_device_code(
                self.server.connection,
                device_code=data["device_code"],
                user_code=typed(data["user_code"]),
                client_id=client_id,
                scopes={Scope(one) for one in scope.split()},
                resource=self.server.settings.resource,
                proposed_agent_name=self.server.fields.get("agent_name") or None,
            )
        )
        if not saved:
            raise OAuth2Error(error="temporarily_unavailable", description="no free code; ask again", status_code=503)


class DeviceCodeView:
    """A device code as Authlib asks about it."""

    def __init__(self, code: DeviceCode) -> None:
        self.code = code

    def get_client_id(self) -> str:
        return self.code.client_id

    def get_scope(self) -> str:
        return " ".join(sorted(self.code.scopes))

    def get_user_code(self) -> str:
        return self.code.user_code

    def is_expired(self) -> bool:
        return self.code.is_expired


class DeviceCodes(DeviceCodeGrant):
    """Redeems a device code; Authlib would give a token for it as often as it is asked."""

    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]  # noqa: RUF012 - Authlib's name and type
    server: Server
    _credential: DeviceCodeView

    def validate_token_request(self) -> None:
        self.server.require_own_resource()
        super().validate_token_request()

    def query_device_credential(self, device_code: str) -> DeviceCodeView:
        code = self.server.wait(lock_device_code(self.server.connection, device_code))
        if code is None:
            raise InvalidGrantError("the device_code is unknown or already used")
        self._credential = DeviceCodeView(code)
        return self._credential

    def query_user_grant(self, user_code: str) -> tuple[Approved | None, bool] | None:
        match self._credential.code.decision:
            case Approved() as approved:
                return approved, True
            case Denied():
                return None, False
            case _:
                return None

    def should_slow_down(self, credential: DeviceCodeView) -> bool:
        return self.server.wait(note_poll(self.server.connection, credential.code.id))

    def save_token(self, token: Mapping[str, str]) -> None:
        code, approved = self._credential.code, cast(Approved, self.request.user)
        connection = self.server.connection
        grant = self.server.wait(
            make_grant(connection, approved, client_id=code.client_id, scopes=code.scopes, resource=code.resource)
        )
        self.server.keep(token, grant)
        self.server.wait(redeem_device_code(connection, code.id))
