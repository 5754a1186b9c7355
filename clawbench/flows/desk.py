"""The desk: hands out work and takes results. A worker knows nothing else of the control plane.

Every result comes under the epoch of the lease it was worked under, and an older epoch's is dropped: a worker that
was stopped, and wakes after its lease has passed, can neither answer nor score anything.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from uuid import UUID

import structlog

from clawbench.deps import Deps
from clawbench.errors import ClawBenchError, OutcomeUnknown, RunNotActive, Unavailable
from clawbench.flows import run_views
from clawbench.flows.finalize import import_score
from clawbench.flows.specs import AGENT_PREFIX, VERIFIER_PREFIX, agent_spec, scoring_of
from clawbench.flows.start_run import GRACE_S, task_of
from clawbench.flows.tools import ACTING, DECIDING, TOOLS, Start
from clawbench.hands import BlobStore
from clawbench.model.call import Answer
from clawbench.model.event import EventKind
from clawbench.model.run import Run, RunStatus
from clawbench.model.work import (
    Beat,
    CallJob,
    Fault,
    FinalizeJob,
    Job,
    Lease,
    Places,
    Verified,
    Worked,
    Workspace,
    fault_of,
)
from clawbench.store import artifacts, calls, events, runs

log = structlog.get_logger()

MOST_TAKERS = 20
"""After so many leases on a call its outcome is unknown."""
_LONGEST_REST_S = 10.0
"""Between two tries to score a run, which go on until its deadline: unreachable is not lost."""


class PostgresDesk:
    """The desk itself."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._pool = deps.pool

    @property
    def blobs(self) -> BlobStore:
        return self._deps.blobs

    async def take(self, places: Places, *, limit: int) -> list[Job]:
        taken = await calls.take(self._pool, places, ACTING, (), limit=limit)
        jobs: list[Job] = [await self.with_spec(job) for job in taken if not await self._given_up(job)]
        if len(jobs) < limit and (lease := await runs.take_finalizing(self._pool, places)) is not None:
            jobs += await self._finalize_jobs(lease)
        return jobs

    async def _given_up(self, job: CallJob) -> bool:
        """Whether so many workers fell silent over this call that nobody is to begin it again."""
        if job.lease.epoch <= MOST_TAKERS:
            return False
        lost = OutcomeUnknown(f"{MOST_TAKERS} workers took this call, and none brought it to an end")
        await self.failed(job.lease, fault_of(lost))
        return True

    async def take_decisions(self, *, limit: int) -> list[CallJob]:
        """Calls that need no sandbox, left by a server that fell silent."""
        nowhere = Places(sites=(), providers=())
        return await calls.take(self._pool, nowhere, (), DECIDING, limit=limit)

    async def with_spec(self, job: CallJob) -> CallJob:
        """The job, with the sandbox to make if it is a ``start_run``."""
        if not isinstance(TOOLS[job.tool], Start):
            return job
        run = await self.run(job.lease.run_id)
        task = await task_of(self._deps, run)
        spec = agent_spec(self._deps.instance, task, f"{AGENT_PREFIX}{run.id}", ttl_s=run.wall_limit_s + GRACE_S)
        return replace(job, spec=spec)

    async def _finalize_jobs(self, lease: Lease) -> list[Job]:
        run = await self.run(lease.run_id)
        assert run.sandbox is not None
        try:
            task = await task_of(self._deps, run)
            scoring = scoring_of(self._deps.instance, task, f"{VERIFIER_PREFIX}{run.id}-{lease.epoch}")
        except ClawBenchError as error:
            await self._void(run, error.message)
            return []
        return [
            FinalizeJob(
                lease=lease,
                provider=run.provider,
                sandbox=run.sandbox,
                scoring=scoring,
                workspace=await artifacts.workspace_of(self._pool, run.id),
            )
        ]

    async def beat(self, lease: Lease) -> Beat:
        if lease.call_id is not None:
            return await calls.beat(self._pool, lease)
        return Beat(held=await runs.keep_finalizing(self._pool, lease))

    async def give_back(self, lease: Lease) -> None:
        if lease.call_id is not None:
            await calls.release(self._pool, lease)
        else:
            await runs.keep_finalizing(self._pool, lease, for_s=0)

    async def worked(self, lease: Lease, result: Worked) -> Answer | None:
        body = result.body
        if result.made is not None and result.site is not None:
            async with self._pool.acquire() as conn:
                await runs.started(conn, lease, result.made, result.site)
            run = await self.run(lease.run_id)
            if run.status is not RunStatus.RUNNING:
                return await self.failed(lease, fault_of(RunNotActive(f"the run is {run.status}: {run.why}")))
            body = await run_views.started(self._deps, run)
        for kept in result.kept:
            await artifacts.name_it(self._pool, lease.run_id, kept)
        left = (await runs.budgets_of(self._pool, lease.run_id)).less(result.output_bytes)
        answer = Answer.of({**body, "budgets": left.as_dict()})
        recorded = await calls.record(self._pool, lease, answer, outcome="answered", output_bytes=result.output_bytes)
        self._deps.background.answers.ring()
        return answer if recorded else None

    async def failed(self, lease: Lease, fault: Fault) -> Answer | None:
        run = await self.run(lease.run_id)
        if lease.call_id is None:
            await self._finalize_failed(lease, run, fault)
            return None
        unknown = fault.code == OutcomeUnknown.code
        error = {"code": fault.code, "message": fault.message, "hint": fault.hint}
        answer = Answer.of({"error": error, "budgets": run.budgets.as_dict()}, is_error=True)
        why = "the sandbox was lost while a call ran" if unknown else None
        if why is None and run.status is RunStatus.QUEUED:
            why = f"no sandbox could be made: {fault.message}"
        # One transaction: a crash between the answer and the end would leave a run that nothing ends.
        async with self._pool.acquire() as conn, conn.transaction():
            outcome = "unknown" if unknown else "answered"
            recorded = await calls.record(conn, lease, answer, outcome=outcome, output_bytes=0)
            if recorded and why is not None:
                await runs.end_unscored(conn, run.id, RunStatus.VOIDED, why)
        self._deps.background.answers.ring()
        if recorded and why is not None:
            self._voided(run, why)
        return answer if recorded else None

    async def taken_out(self, lease: Lease, workspace: Workspace) -> None:
        told = {
            "listings": workspace.listings,
            "files": workspace.files,
            "bytes": workspace.size,
            "left_out": workspace.left_out,
        }
        async with self._pool.acquire() as conn, conn.transaction():
            if await runs.keep_finalizing(conn, lease):
                await events.append(conn, lease.run_id, EventKind.FROZEN, told)
                await artifacts.name_it(conn, lease.run_id, workspace.archive)

    async def scored(self, lease: Lease, verified: Verified) -> None:
        if await import_score(self._deps, lease, verified):
            self._deps.background.ended.ring()
            log.info("run.done", run=str(lease.run_id), score=verified.reward)

    async def alive(self, run_ids: Collection[UUID]) -> frozenset[UUID]:
        return await runs.unfinished(self._pool, run_ids)

    async def run(self, run_id: UUID) -> Run:
        """The run as it is now."""
        run = await runs.by_id(self._pool, run_id)
        assert run is not None, "runs are never deleted"
        return run

    async def _finalize_failed(self, lease: Lease, run: Run, fault: Fault) -> None:
        if fault.code == Unavailable.code:
            log.warning("finalize.waits", run=str(run.id), attempt=lease.epoch, why=fault.message)
            await runs.keep_finalizing(self._pool, lease, for_s=min(_LONGEST_REST_S, 2.0 ** min(lease.epoch, 4)))
        elif await runs.keep_finalizing(self._pool, lease):
            await self._void(run, fault.message)

    async def _void(self, run: Run, why: str) -> None:
        """A run that a fault of the platform took can neither go on nor be scored; it is no score of 0."""
        async with self._pool.acquire() as conn:
            await runs.end_unscored(conn, run.id, RunStatus.VOIDED, why)
        self._voided(run, why)

    def _voided(self, run: Run, why: str) -> None:
        self._deps.background.ended.ring()
        log.warning("run.voided", run=str(run.id), why=why)
