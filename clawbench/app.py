"""The composition root: deps → one Starlette app with the web, OAuth and MCP doors."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import Scope

from clawbench.admission import COUNTED_BY, Acquaintance, Admission
from clawbench.deps import Deps
from clawbench.errors import ClawBenchError
from clawbench.flows.work import working
from clawbench.mcp_server import McpEndpoint, mcp_door
from clawbench.oauth import routes as oauth_routes
from clawbench.oauth.bearer import RequireBearer
from clawbench.web import (
    account,
    admin,
    api,
    board,
    consent,
    device,
    gate,
    pages,
    people,
    sign_in,
    upstream,
    whoami,
    work,
)


def build_app(deps: Deps, *, work: bool = True) -> Starlette:
    """One app over these deps; with ``work`` it also does the background work."""
    door = mcp_door(deps)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(door.run())
            if work:
                await stack.enter_async_context(working(deps))
            yield

    settings = deps.settings
    at_once, share = settings.requests_at_once, settings.requests_at_once_per_user
    mcp = Admission(McpEndpoint(door, settings.origin), at_once=at_once, share=share, key=_user_of)
    middleware = [
        Middleware(Admission, at_once=share, share=share, key=_health),
        Middleware(Acquaintance, guarded=("/mcp", "/internal/")),
        Middleware(Admission, at_once=at_once, share=share, key=_sender),
    ]
    app = Starlette(routes=[*routes(), Route("/mcp", RequireBearer(mcp))], middleware=middleware, lifespan=lifespan)
    app.router.redirect_slashes = False  # Starlette takes where it redirects to from the Host header
    app.state.deps = deps
    app.add_exception_handler(ClawBenchError, _told)
    return app


def _user_of(scope: Scope) -> object:
    return scope["state"]["caller"].user_id


def _health(scope: Scope) -> str | None:
    """Health checks are counted apart, so that a storm does not hide that the server is well."""
    return "health" if scope["path"] == "/health" else None


def _sender(scope: Scope) -> object | None:
    return None if scope["path"] == "/health" else scope[COUNTED_BY]


def routes() -> list[BaseRoute]:
    """Every HTTP route but ``/mcp``."""
    return [
        *board.routes(),
        *api.routes(),
        Mount("/api/v1/admin", Router(admin.routes(), redirect_slashes=False), middleware=[Middleware(RequireBearer)]),
        Route(whoami.PATH, RequireBearer(whoami.route()), methods=["GET"]),
        *sign_in.routes(),
        *upstream.routes(),
        *account.routes(),
        *people.routes(),
        *gate.routes(),
        *consent.routes(),
        *device.routes(),
        *oauth_routes.routes(),
        *pages.routes(),
        *work.routes(),
    ]


async def _told(request: Request, error: Exception) -> Response:
    """Any error of ours that a door let through, as the API's envelope."""
    del request
    assert isinstance(error, ClawBenchError)
    return JSONResponse({"ok": False, "error": error.as_dict()}, error.status, error.headers)
