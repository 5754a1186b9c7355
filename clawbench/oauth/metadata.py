"""Metadata: how a client that was answered 401 finds out where and how to sign in."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from clawbench.door import deps_of
from clawbench.model.caller import OFFERED_SCOPES
from clawbench.model.client import DEVICE_CODE_GRANT, REGISTERED_GRANTS
from clawbench.oauth.endpoint import client_route

# Anybody may read it, from any page: it is the same for all and holds nothing of anybody.
_PUBLIC = {"Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*"}

_SERVER_PATHS = (
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    # clients that take the MCP endpoint for the issuer look here
    "/.well-known/oauth-authorization-server/mcp",
    "/.well-known/openid-configuration/mcp",
    "/mcp/.well-known/openid-configuration",
)


def routes() -> list[Route]:
    """RFC 9728 in both path forms, and RFC 8414 wherever clients look for it."""
    return [
        client_route("/.well-known/oauth-protected-resource", protected_resource, method="GET", from_any_page=True),
        client_route("/.well-known/oauth-protected-resource/mcp", protected_resource, method="GET", from_any_page=True),
        *(client_route(path, authorization_server, method="GET", from_any_page=True) for path in _SERVER_PATHS),
    ]


async def protected_resource(request: Request) -> Response:
    """RFC 9728: what is protected, and who gives tokens for it."""
    settings = deps_of(request).settings
    return JSONResponse(
        {
            "resource": settings.resource,
            "resource_name": "ClawBench",
            "authorization_servers": [settings.origin],
            "scopes_supported": list(OFFERED_SCOPES),
            "bearer_methods_supported": ["header"],
        },
        headers=_PUBLIC,
    )


async def authorization_server(request: Request) -> Response:
    """RFC 8414: what this authorization server can do."""
    settings = deps_of(request).settings
    origin = settings.origin
    return JSONResponse(
        {
            "issuer": origin,
            "authorization_endpoint": f"{origin}/oauth/authorize",
            "authorization_response_iss_parameter_supported": True,
            "device_authorization_endpoint": f"{origin}/oauth/device_authorization",
            "token_endpoint": f"{origin}/oauth/token",
            "token_endpoint_auth_methods_supported": ["none"],
            "registration_endpoint": f"{origin}/oauth/register",
            "revocation_endpoint": f"{origin}/oauth/revoke",
            "revocation_endpoint_auth_methods_supported": ["none"],
            "grant_types_supported": [*REGISTERED_GRANTS, DEVICE_CODE_GRANT],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": list(OFFERED_SCOPES),
            "protected_resources": [settings.resource],
        },
        headers=_PUBLIC,
    )
