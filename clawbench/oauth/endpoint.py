"""What the endpoints that clients call have in common: the form they read, the shape of a refusal, and CORS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from clawbench.door import deps_of, read_form
from clawbench.errors import InvalidArguments, OverCap, Unavailable
from clawbench.oauth import core
from clawbench.oauth.server import Answer, Server

Endpoint = Callable[[Request], Awaitable[Response]]

# MCP clients that are web pages call these from their own origin. Nothing here goes by cookies.
_FROM_ANY_PAGE = Middleware(
    CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "POST"], allow_headers=["MCP-Protocol-Version"]
)


class Refusal(Exception):
    """An error in the shape of RFC 6749 §5.2, which RFC 7591 shares."""

    def __init__(self, error: str, description: str, status: int = 400, *, retry_after_s: float | None = None) -> None:
        super().__init__(error)
        headers = {"Cache-Control": "no-store"}
        if retry_after_s is not None:
            headers["Retry-After"] = str(int(retry_after_s) + 1)
        self.response = JSONResponse({"error": error, "error_description": description}, status, headers)


def client_route(path: str, endpoint: Endpoint, *, method: str = "POST", from_any_page: bool = False) -> Route:
    """A route for programs; what goes wrong is told in the shape of the RFCs."""

    async def shown(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refusal as refusal:
            return refusal.response
        except InvalidArguments as fault:
            return Refusal("invalid_request", fault.message).response
        except (OverCap, Unavailable) as fault:
            error, retry_after_s = "temporarily_unavailable", fault.retry_after_s
            return Refusal(error, fault.message, fault.status, retry_after_s=retry_after_s).response

    if not from_any_page:
        return Route(path, shown, methods=[method])
    return Route(path, shown, methods=[method, "OPTIONS"], middleware=[_FROM_ANY_PAGE])


async def form_of(request: Request) -> Mapping[str, str]:
    """The fields of a client's form; one without a value counts as not sent (RFC 6749 §3.2).

    Raises:
        InvalidArguments: not a form, or no client's.
    """
    return without_blanks(await read_form(request))


def without_blanks(fields: Mapping[str, str]) -> Mapping[str, str]:
    """The fields that have a value.

    Raises:
        InvalidArguments: a value holds characters that no parameter has (RFC 6749, appendix A).
    """
    if not all(value.isascii() and value.isprintable() for value in fields.values()):
        raise InvalidArguments("a parameter holds characters that no parameter has")
    return {name: value for name, value in fields.items() if value}


async def answer(
    request: Request, what: Callable[[Server], Answer], fields: Mapping[str, str], workers: core.Workers
) -> Response:
    """What Authlib's core answers."""
    told = await core.ask(what, deps_of(request), fields, workers)
    return JSONResponse(told.body, told.status, told.headers)
