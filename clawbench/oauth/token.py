"""The token endpoint and its counterpart: a client gets its tokens, and gives them back."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clawbench.errors import InvalidArguments
from clawbench.oauth import core
from clawbench.oauth.endpoint import answer, client_route, form_of


def routes(workers: core.Workers) -> list[Route]:
    """Token (RFC 6749 §3.2) and revocation (RFC 7009)."""

    async def token(request: Request) -> Response:
        fields = await form_of(request)
        if "grant_type" not in fields:
            raise InvalidArguments("grant_type is missing")
        return await answer(request, core.token, fields, workers)

    async def revoke(request: Request) -> Response:
        return await answer(request, core.revocation, await form_of(request), workers)

    return [
        client_route("/oauth/token", token, from_any_page=True),
        client_route("/oauth/revoke", revoke, from_any_page=True),
    ]
