"""The JSON envelope of ``/api/v1``: ``{"ok": true, "data"}`` or ``{"ok": false, "error": {code, message, hint}}``."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clawbench.errors import ClawBenchError, NotFound

Endpoint = Callable[[Request], Awaitable[object]]


def api_route(path: str, endpoint: Endpoint, *, methods: list[str]) -> Route:
    """A route whose endpoint returns the data, or raises an error of ours."""

    async def answered(request: Request) -> Response:
        try:
            return _json({"ok": True, "data": await endpoint(request)}, 200)
        except ClawBenchError as error:
            return _json({"ok": False, "error": error.as_dict()}, error.status, error.headers)

    return Route(path, answered, methods=methods)


def run_id_of(request: Request) -> UUID:
    """The run in the path; what is no id names no run."""
    try:
        return UUID(request.path_params["run_id"])
    except ValueError:
        raise NotFound("there is no such run") from None


def _json(body: object, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(body, default=_plain), status, headers, media_type="application/json")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON")
