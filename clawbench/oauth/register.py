"""Dynamic registration (RFC 7591): any program may register itself as a public client, and is kept for good.

Authlib's own endpoint gives every client a secret, which a public client must not have.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from clawbench.door import address_of, deps_of, read_body
from clawbench.errors import InvalidArguments
from clawbench.model.caller import OFFERED_SCOPES
from clawbench.model.client import AUTHORIZATION_CODE_GRANT, REGISTERED_GRANTS
from clawbench.model.redirect import redirect_of
from clawbench.oauth.endpoint import Refusal, client_route
from clawbench.store.attempts import Limit, count_attempt
from clawbench.store.clients import register_client

REGISTERING = Limit(kind="registration", tries=60, window=timedelta(hours=1))
UNNAMED = "a program without a name"

Word = Annotated[str, Field(max_length=200)]


class Asked(BaseModel):
    """The part of a client's metadata that has a meaning here; the rest is not kept."""

    redirect_uris: Annotated[list[str], Field(min_length=1, max_length=10)]
    client_name: Annotated[str, Field(max_length=100)] | None = None
    grant_types: Annotated[list[Word], Field(max_length=20)] | None = None
    response_types: Annotated[list[Word], Field(max_length=20)] | None = None


def routes() -> list[Route]:
    """Where a program registers itself."""
    return [client_route("/oauth/register", register, from_any_page=True)]


async def register(request: Request) -> Response:
    """Remember the client, and tell it what it may use; what it asked for beyond that is not in the answer."""
    asked = await _asked(request)
    pool = deps_of(request).pool
    await count_attempt(pool, REGISTERING, address_of(request))
    name = (asked.client_name or "").strip() or UNNAMED
    registered = await register_client(pool, name=name, redirect_uris=asked.redirect_uris)
    told = {
        "client_id": registered.client.id,
        "client_id_issued_at": int(registered.created_at.timestamp()),
        "client_name": registered.client.name,
        "redirect_uris": list(registered.client.redirect_uris),
        "grant_types": list(REGISTERED_GRANTS),
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": " ".join(OFFERED_SCOPES),
    }
    return JSONResponse(told, 201, {"Cache-Control": "no-store", "Pragma": "no-cache"})


async def _asked(request: Request) -> Asked:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise InvalidArguments("send the metadata as JSON (application/json)")
    try:
        asked = Asked.model_validate_json(await read_body(request))
    except ValidationError as fault:
        where = ".".join(str(part) for part in fault.errors()[0]["loc"])
        error = "invalid_redirect_uri" if where.startswith("redirect_uris") else "invalid_client_metadata"
        raise Refusal(error, f"{where or 'the metadata'} cannot be read as client metadata") from None
    if not all(redirect_of(uri) for uri in asked.redirect_uris):
        raise Refusal(
            "invalid_redirect_uri", "a redirect URI is https, http on a loopback address, or an app's own scheme"
        )
    if asked.client_name is not None and not asked.client_name.isprintable():
        raise Refusal("invalid_client_metadata", "client_name holds characters that cannot be shown")
    if asked.grant_types and AUTHORIZATION_CODE_GRANT not in asked.grant_types:
        raise Refusal("invalid_client_metadata", "a client that registers uses the authorization_code grant")
    if asked.response_types and "code" not in asked.response_types:
        raise Refusal("invalid_client_metadata", "a client that registers uses the response type code")
    return asked
