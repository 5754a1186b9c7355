"""The public JSON API: what was published, and whether the server is well."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.routing import Route

from clawbench import __version__
from clawbench.door import deps_of
from clawbench.errors import InvalidArguments, NotFound, Unavailable
from clawbench.model.benchmark import Benchmark
from clawbench.store import installation, publications
from clawbench.web.envelope import api_route, run_id_of

_WELL_WITHIN_S = 2.0


def routes() -> list[Route]:
    """Readable by anybody."""
    return [
        api_route("/health", health, methods=["GET"]),
        api_route("/api/v1/leaderboard", leaderboard, methods=["GET"]),
        api_route("/api/v1/runs/{run_id}", public_run, methods=["GET"]),
    ]


async def health(request: Request) -> object:
    """The server and its database; 503 when Postgres does not answer, or takes no commit."""
    try:
        async with asyncio.timeout(_WELL_WITHIN_S):
            await installation.answers(deps_of(request).pool)
    except TimeoutError:
        raise Unavailable(f"Postgres took no commit within {_WELL_WITHIN_S:.0f} s") from None
    return {"status": "ok", "version": __version__}


async def leaderboard(request: Request) -> object:
    """``?benchmark=``: the standings, best first."""
    benchmark = benchmark_of(request.query_params.get("benchmark", Benchmark.TERMINAL_BENCH))
    return {
        "benchmark": benchmark,
        "title": benchmark.label,
        "rows": await publications.leaderboard(deps_of(request).pool, benchmark),
    }


async def public_run(request: Request) -> object:
    """A published run with its public trace; anything else is as good as missing."""
    found = await publications.by_run(deps_of(request).pool, run_id_of(request))
    if found is None:
        raise NotFound("there is no such published run", hint="The leaderboard lists what is published.")
    return found


def benchmark_of(slug: str) -> Benchmark:
    """The benchmark of this slug."""
    try:
        return Benchmark(slug)
    except ValueError:
        known = ", ".join(Benchmark)
        raise InvalidArguments(f"there is no such benchmark; there are {known}") from None
