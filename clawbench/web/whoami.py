"""Who a bearer token is, for programs that hold one. Served behind ``RequireBearer``, at a path of its own."""

from __future__ import annotations

from typing import cast

from starlette.requests import Request
from starlette.routing import Route

from clawbench.door import deps_of
from clawbench.errors import NotAuthenticated
from clawbench.model.caller import Caller
from clawbench.store.users import user_with_id
from clawbench.web.envelope import api_route

PATH = "/api/v1/whoami"


def route() -> Route:
    """The one route."""
    return api_route(PATH, whoami, methods=["GET"])


async def whoami(request: Request) -> object:
    """The person, the agent and the scopes behind the token."""
    caller = cast(Caller, request.state.caller)
    user = await user_with_id(deps_of(request).pool, caller.user_id)
    if user is None:
        raise NotAuthenticated
    return {"user": user.name, "agent": caller.agent_name, "scopes": sorted(caller.scopes)}
