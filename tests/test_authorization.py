"""Who may do what: every route and every tool, asked by everybody. A new one without a line here fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from pytest_asyncio import fixture as async_fixture
from starlette.routing import BaseRoute, Mount, Route

from clawbench.app import routes
from clawbench.flows.tools import TOOLS
from tests.support.everybody import (
    ACTORS,
    HIDDEN,
    PASSED,
    REFUSED,
    SIGN_IN,
    UNAUTHENTICATED,
    Everybody,
    everybody,
)
from tests.support.stack import Stack

ALL = (PASSED,) * 6
PEOPLE = (SIGN_IN,) * 3 + (PASSED,) * 3
ADMINS_AT_A_BROWSER = (SIGN_IN,) * 3 + (REFUSED,) * 2 + (PASSED,)
ADMIN_TOKENS = (UNAUTHENTICATED,) + (REFUSED,) * 4 + (PASSED,)
WORKERS = (UNAUTHENTICATED,) * 6
NOBODY = (HIDDEN,) * 6
"""A run that is not published is missing for all, its owner included; so is what only the holder of a secret finds."""
TOKENS = (UNAUTHENTICATED,) + (PASSED,) * 5

ROUTES = {
    "GET /": ALL,
    "GET /leaderboard/{benchmark}": ALL,
    "GET /runs/{run_id}": NOBODY,
    "GET /health": ALL,
    "GET /api/v1/leaderboard": ALL,
    "GET /api/v1/runs/{run_id}": NOBODY,
    "GET /api/v1/admin/gate": ADMIN_TOKENS,
    "GET /api/v1/admin/gate/{run_id}": ADMIN_TOKENS,
    "POST /api/v1/admin/gate/{run_id}/approve": ADMIN_TOKENS,
    "POST /api/v1/admin/gate/{run_id}/withdraw": ADMIN_TOKENS,
    "GET /api/v1/whoami": TOKENS,
    "GET /sign-in": ALL,
    "POST /sign-in": ALL,
    "POST /sign-out": ALL,
    "GET /sign-in/upstream": NOBODY,  # no issuer is set here
    "GET /sign-in/callback": NOBODY,
    "GET /account": PEOPLE,
    "POST /account": PEOPLE,
    "GET /admin/people": ADMINS_AT_A_BROWSER,
    "POST /admin/people": (*ADMINS_AT_A_BROWSER[:5], HIDDEN),  # about a person there is not
    "GET /admin/gate": ADMINS_AT_A_BROWSER,
    "GET /admin/gate/{run_id}": ADMINS_AT_A_BROWSER,
    "POST /admin/gate/{run_id}": ADMINS_AT_A_BROWSER,
    "GET /device": PEOPLE,
    "POST /device": (SIGN_IN,) * 3 + (HIDDEN,) * 3,  # a code that nobody asked for
    "GET /consent": (SIGN_IN,) * 3 + (HIDDEN,) * 3,  # a request that no client made
    "POST /consent": (SIGN_IN,) * 3 + (HIDDEN,) * 3,
    "GET /.well-known/oauth-protected-resource": ALL,
    "GET /.well-known/oauth-protected-resource/mcp": ALL,
    "GET /.well-known/oauth-authorization-server": ALL,
    "GET /.well-known/oauth-authorization-server/mcp": ALL,
    "GET /.well-known/openid-configuration": ALL,
    "GET /.well-known/openid-configuration/mcp": ALL,
    "GET /mcp/.well-known/openid-configuration": ALL,
    "POST /oauth/register": ALL,
    "GET /oauth/authorize": ALL,
    "POST /oauth/device_authorization": ALL,
    "POST /oauth/token": ALL,
    "POST /oauth/revoke": ALL,
    "POST /internal/work/take": WORKERS,
    "POST /internal/work/beat": WORKERS,
    "POST /internal/work/give-back": WORKERS,
    "POST /internal/work/worked": WORKERS,
    "POST /internal/work/failed": WORKERS,
    "POST /internal/work/taken-out": WORKERS,
    "POST /internal/work/scored": WORKERS,
    "POST /internal/work/alive": WORKERS,
    "POST /internal/tick": WORKERS,
    "GET /internal/blobs/{digest}": WORKERS,
    "PUT /internal/blobs": WORKERS,
    "GET /setup": NOBODY,
    "POST /setup": NOBODY,
}

LOOKING = (UNAUTHENTICATED, PASSED, REFUSED, PASSED, PASSED, PASSED)
LOOKING_AT_ONES_OWN = (UNAUTHENTICATED, PASSED, REFUSED, HIDDEN, PASSED, HIDDEN)
BEGINNING = (UNAUTHENTICATED, REFUSED, PASSED, PASSED, PASSED, PASSED)
ACTING_IN_ONES_OWN = (UNAUTHENTICATED, REFUSED, PASSED, HIDDEN, PASSED, HIDDEN)

CALLED: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "whoami": (LOOKING, {}),
    "list_benchmarks": (LOOKING, {}),
    "list_tasks": (LOOKING, {}),
    "list_runs": (LOOKING, {}),
    "get_run": (LOOKING_AT_ONES_OWN, {}),
    "resume_run": (LOOKING_AT_ONES_OWN, {}),
    "start_run": (BEGINNING, {"benchmark": "terminal-bench", "form": "there is none"}),
    "run_command": (ACTING_IN_ONES_OWN, {"command": "true"}),
    "start_command": (ACTING_IN_ONES_OWN, {"command": "true"}),
    "poll_command": (ACTING_IN_ONES_OWN, {"command_id": "c"}),
    "cancel_call": (ACTING_IN_ONES_OWN, {"call_id": "c"}),
    "read_file": (ACTING_IN_ONES_OWN, {"path": "x"}),
    "write_file": (ACTING_IN_ONES_OWN, {"path": "x", "content": ""}),
    "edit_file": (ACTING_IN_ONES_OWN, {"path": "x", "old": "a", "new": "b"}),
    "list_files": (ACTING_IN_ONES_OWN, {}),
    "finalize_run": (ACTING_IN_ONES_OWN, {}),
    "submit": (ACTING_IN_ONES_OWN, {}),
    "cancel_run": (ACTING_IN_ONES_OWN, {}),
}


@async_fixture(scope="module")
async def all_of_them(stack: Stack) -> Everybody:
    return await everybody(stack)


def each_route(found: Iterable[BaseRoute], prefix: str = "") -> Iterator[str]:
    for route in found:
        if isinstance(route, Mount) and route.path != "/static":
            yield from each_route(route.routes, prefix + route.path)
        elif isinstance(route, Route):
            methods = (route.methods or set()) - {"HEAD", "OPTIONS"}
            yield from (f"{method} {prefix}{route.path}" for method in methods)


def test_every_route_and_every_tool_has_its_line() -> None:
    assert sorted(each_route(routes())) == sorted(ROUTES)
    assert sorted(TOOLS) == sorted(CALLED)


@pytest.mark.parametrize("line", ROUTES)
@pytest.mark.promise("others-runs-unknown")
async def test_a_route_lets_through_whom_it_should(all_of_them: Everybody, line: str) -> None:
    told = tuple([await all_of_them.asks(actor, *line.split(" ")) for actor in ACTORS])
    assert told == ROUTES[line]


@pytest.mark.parametrize("name", CALLED)
@pytest.mark.promise("others-runs-unknown")
async def test_a_tool_lets_through_whom_it_should(all_of_them: Everybody, name: str) -> None:
    expected, arguments = CALLED[name]
    told = tuple([await all_of_them.calls(actor, name, arguments) for actor in ACTORS])
    assert told == expected
