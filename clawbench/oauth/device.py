"""The device authorization endpoint (RFC 8628): a client without a browser asks for a code."""

from __future__ import annotations

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clawbench.door import address_of, deps_of
from clawbench.model.caller import OFFERED_SCOPES
from clawbench.oauth import core
from clawbench.oauth.endpoint import answer, client_route, form_of
from clawbench.store.attempts import Limit, count_attempt

ASKING = Limit(kind="device_authorization", tries=120, window=timedelta(minutes=10))


def routes(workers: core.Workers) -> list[Route]:
    """Where a client asks."""

    async def device_authorization(request: Request) -> Response:
        fields = await form_of(request)
        await count_attempt(deps_of(request).pool, ASKING, address_of(request))
        asked = fields.get("scope", "").split() or OFFERED_SCOPES
        fields = {**fields, "scope": " ".join(dict.fromkeys(asked))}
        return await answer(request, core.device_authorization, fields, workers)

    return [client_route("/oauth/device_authorization", device_authorization)]
