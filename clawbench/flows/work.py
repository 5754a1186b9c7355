"""A worker: takes jobs from a desk, does them at its places, and clears away what no run needs any more."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import structlog

from clawbench.deps import Bell, Deps
from clawbench.errors import Unavailable
from clawbench.flows.desk import PostgresDesk
from clawbench.flows.drive import begin
from clawbench.flows.perform import perform
from clawbench.flows.specs import TRIAL_PREFIX, run_of
from clawbench.hands import Desk, Hands
from clawbench.model.run import Run, RunStatus
from clawbench.model.work import Job
from clawbench.store import (
    api_keys,
    attempts,
    authorizations,
    device_codes,
    grants,
    refresh_tokens,
    runs,
    sessions,
    tokens,
)
from sandbox_providers.contract import Sandbox
from sandbox_providers.errors import SandboxError

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
SWEEP_EVERY_S = 30.0
TIDY_EVERY_S = 3600.0
_AT_ONCE = 16
"""Jobs that this server takes from the desk at the same time; calls that arrive here are begun at once besides."""


@contextlib.asynccontextmanager
async def working(deps: Deps) -> AsyncGenerator[None]:
    """Do this server's share of the work for as long as the body lasts."""
    background = deps.background
    loops = [
        asyncio.create_task(_every(LOOK_EVERY_S, background.work, lambda: look(deps)), name="look"),
        asyncio.create_task(_every(SWEEP_EVERY_S, background.ended, lambda: sweep(deps)), name="sweep"),
        asyncio.create_task(_every(TIDY_EVERY_S, Bell(), lambda: tidy(deps)), name="tidy"),
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def look(deps: Deps) -> None:
    """Begin every job that waits and that this server can do."""
    desk = PostgresDesk(deps)
    for job in await desk.take_decisions(limit=_AT_ONCE):
        begin(deps, job)
    if deps.hands is None:
        return
    if not deps.background.sites:
        with contextlib.suppress(SandboxError):
            deps.background.sites = (await deps.hands.provider.site(),)
    while (room := _AT_ONCE - deps.background.taken) > 0:
        jobs = await desk.take(deps.places, limit=room)
        for job in jobs:
            deps.background.start(key_of(job), perform(desk, deps.hands, job), taken=True)
        if not jobs:
            return


def key_of(job: Job) -> tuple[object, str]:
    """What this process's task for the job is found by."""
    return job.lease.run_id, job.lease.call_id or "finalize"


async def sweep(deps: Deps) -> None:
    """End runs that are past their deadline, and destroy sandboxes that no live run has."""
    while overdue := await runs.overdue(deps.pool, limit=_AT_ONCE):
        for run in overdue:
            await _end_overdue(deps, run)
    if deps.hands is not None:
        await reap(PostgresDesk(deps), deps.hands, deps.instance)


async def tidy(deps: Deps) -> None:
    """Delete what signing in leaves behind once it has expired."""
    await tokens.sweep_tokens(deps.pool)
    await api_keys.sweep_keys(deps.pool)
    await sessions.sweep_sessions(deps.pool)
    await device_codes.sweep_device_codes(deps.pool)
    await authorizations.sweep_authorizations(deps.pool)
    await refresh_tokens.sweep_refresh_tokens(deps.pool)
    await grants.sweep_grants(deps.pool)
    await attempts.sweep_attempts(deps.pool)


async def reap(desk: Desk, hands: Hands, instance: str) -> int:
    """Destroy this installation's sandboxes whose run is over; how many. Nothing unlabelled is ever touched."""
    try:
        owned = await hands.provider.list_owned(instance)
    except SandboxError as error:
        log.warning("reap.waits", provider=hands.provider.name, why=str(error))
        return 0
    named = {sandbox.id: run_of(sandbox.id) for sandbox in owned}
    alive = await desk.alive([run_id for run_id in named.values() if run_id is not None])
    left_over = [each for each in owned if named[each.id] not in alive and not _on_trial(each)]
    return sum([await _destroyed(hands, sandbox) for sandbox in left_over])


async def _destroyed(hands: Hands, sandbox: Sandbox) -> bool:
    """Whether it went; one that does not is left to the next sweep, and holds up no other."""
    try:
        await hands.provider.destroy(sandbox)
    except SandboxError as error:
        log.warning("reap.waits", sandbox=sandbox.id, why=str(error))
        return False
    log.info("sandbox.reaped", sandbox=sandbox.id)
    return True


def _on_trial(sandbox: Sandbox) -> bool:
    """Whether a task's import still uses it: it has no run, only the time it was given."""
    deadline = sandbox.observed.get("deadline")
    return sandbox.id.startswith(TRIAL_PREFIX) and isinstance(deadline, int) and deadline > time.time()


async def _end_overdue(deps: Deps, run: Run) -> None:
    status, why = {
        RunStatus.QUEUED: (RunStatus.VOIDED, "no sandbox could be made in time"),
        RunStatus.RUNNING: (RunStatus.EXPIRED, "the run was not finalized in time"),
        RunStatus.FINALIZING: (RunStatus.VOIDED, "the run could not be scored in time"),
    }[run.status]
    async with deps.pool.acquire() as conn:
        if await runs.end_unscored(conn, run.id, status, why):
            log.info("run.ended", run=str(run.id), status=status, why=why)


async def _every(seconds: float, bell: Bell, work: Callable[[], Awaitable[object]]) -> None:
    """Do it again and again, at once when woken; a fault is told and the loop goes on."""
    while True:
        try:
            await work()
        except Unavailable as error:
            log.warning("work.waits", why=error.message)
        except Exception:
            log.exception("work.failed")
        await bell.wait(seconds)
