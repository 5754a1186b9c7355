"""The desk over HTTPS, for workers elsewhere: ``/internal``, with a worker's token and no database login."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from clawbench.deps import Deps
from clawbench.errors import ClawBenchError, InvalidArguments, NotAuthenticated
from clawbench.flows.desk import PostgresDesk
from clawbench.flows.work import look, sweep
from clawbench.model.work import Beat, Fault, Job, Lease, Places, Verified, Worked, Workspace
from clawbench.store import workers

LARGEST_BODY = 16 << 20
LARGEST_BLOB = 600 << 20
_LOOK_EVERY_S = 0.25

_plain: TypeAdapter[object] = TypeAdapter(object)
_Shape = TypeVar("_Shape", bound=BaseModel)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Take(_Body):
    places: Places
    limit: Annotated[int, Field(ge=1, le=64)]
    wait_s: Annotated[float, Field(ge=0, le=25)]


class Taken(_Body):
    instance: str
    jobs: list[Job]


class OnLease(_Body):
    lease: Lease


class OfWorked(OnLease):
    result: Worked


class OfFailed(OnLease):
    fault: Fault


class OfTakenOut(OnLease):
    workspace: Workspace


class OfScored(OnLease):
    verified: Verified


class Alive(_Body):
    run_ids: Annotated[list[UUID], Field(max_length=10_000)]


class Done(_Body):
    """Whether the result counted: False when the lease was lost."""

    counted: bool = True


def routes() -> list[BaseRoute]:
    """For workers only."""
    return [
        Route("/internal/work/take", _guarded(_take), methods=["POST"]),
        _route("/internal/work/beat", OnLease, _beat),
        _route("/internal/work/give-back", OnLease, _give_back),
        _route("/internal/work/worked", OfWorked, _worked),
        _route("/internal/work/failed", OfFailed, _failed),
        _route("/internal/work/taken-out", OfTakenOut, _taken_out),
        _route("/internal/work/scored", OfScored, _scored),
        _route("/internal/work/alive", Alive, _alive),
        _route("/internal/tick", _Body, _tick),
        Route("/internal/blobs/{digest}", _guarded(_get_blob), methods=["GET"]),
        Route("/internal/blobs", _guarded(_put_blob), methods=["PUT"]),
    ]


async def _take(request: Request) -> Response:
    """Waits for a job up to ``wait_s``; an empty list then, and none for a worker that is no longer there."""
    deps, body = _deps(request), await _shaped(request, Take)
    await workers.seen(deps.pool, request.state.worker, body.places.sites)
    desk, clock = PostgresDesk(deps), asyncio.get_running_loop().time
    until, jobs = clock() + body.wait_s, list[Job]()
    while not await request.is_disconnected():
        jobs = await desk.take(body.places, limit=body.limit)
        if jobs or clock() >= until:
            break
        await deps.background.work.wait(_LOOK_EVERY_S)
    return _json(Taken(instance=deps.instance, jobs=jobs))


async def _beat(deps: Deps, desk: PostgresDesk, body: OnLease) -> Beat:
    del deps
    return await desk.beat(body.lease)


async def _give_back(deps: Deps, desk: PostgresDesk, body: OnLease) -> Done:
    del deps
    await desk.give_back(body.lease)
    return Done()


async def _worked(deps: Deps, desk: PostgresDesk, body: OfWorked) -> Done:
    del deps
    return Done(counted=await desk.worked(body.lease, body.result) is not None)


async def _failed(deps: Deps, desk: PostgresDesk, body: OfFailed) -> Done:
    del deps
    return Done(counted=await desk.failed(body.lease, body.fault) is not None)


async def _taken_out(deps: Deps, desk: PostgresDesk, body: OfTakenOut) -> Done:
    del deps
    await desk.taken_out(body.lease, body.workspace)
    return Done()


async def _scored(deps: Deps, desk: PostgresDesk, body: OfScored) -> Done:
    del deps
    await desk.scored(body.lease, body.verified)
    return Done()


async def _alive(deps: Deps, desk: PostgresDesk, body: Alive) -> Alive:
    del deps
    return Alive(run_ids=sorted(await desk.alive(body.run_ids)))


async def _tick(deps: Deps, desk: PostgresDesk, body: _Body) -> Done:
    """One round of the background work, for installations where something else keeps the time."""
    del desk, body
    await look(deps)
    await sweep(deps)
    return Done()


async def _get_blob(request: Request) -> Response:
    content = await _deps(request).blobs.get(request.path_params["digest"])
    return Response(content, media_type="application/octet-stream")


async def _put_blob(request: Request) -> Response:
    digest = await _deps(request).blobs.put(await _body(request, LARGEST_BLOB))
    return Response(digest, 201, media_type="text/plain")


def _route(path: str, shape: type[_Shape], act: Callable[[Deps, PostgresDesk, _Shape], Awaitable[object]]) -> Route:
    """A POST of JSON of this shape, answered with the JSON of what comes back."""

    async def answered(request: Request) -> Response:
        body, deps = await _shaped(request, shape), _deps(request)
        return _json(await act(deps, PostgresDesk(deps), body))

    return Route(path, _guarded(answered), methods=["POST"])


async def _shaped(request: Request, shape: type[_Shape]) -> _Shape:
    try:
        return shape.model_validate_json(await _body(request, LARGEST_BODY) or b"{}")
    except ValidationError as error:
        raise InvalidArguments(f"not a {shape.__name__}: {error.error_count()} faults") from error


def _json(result: object) -> Response:
    return Response(_plain.dump_json(result), media_type="application/json")


def _guarded(
    endpoint: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Only with the token of a standing worker."""

    async def checked(request: Request) -> Response:
        try:
            kind, _, token = request.headers.get("authorization", "").partition(" ")
            worker = await workers.with_token(_deps(request).pool, token) if kind.lower() == "bearer" else None
            if worker is None:
                raise NotAuthenticated("this needs a worker's token", hint="clawbench admin worker add NAME")
            request.state.worker = worker
            return await endpoint(request)
        except ClawBenchError as error:
            body = TypeAdapter(dict[str, Any]).dump_json({"error": error.as_dict()})
            return Response(body, error.status, error.headers, media_type="application/json")

    return checked


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise InvalidArguments(f"the body is larger than {limit} bytes")
    except ClientDisconnect as error:
        raise InvalidArguments("the body was cut short") from error
    return bytes(body)


def _deps(request: Request) -> Deps:
    return cast(Deps, request.app.state.deps)
