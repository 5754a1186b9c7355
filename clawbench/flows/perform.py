"""Performing a job: act in the sandbox under a lease that is kept, and bring the result to the desk."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from clawbench.errors import ClawBenchError, OutcomeUnknown, Unavailable
from clawbench.flows.finalize import finalize, let_go
from clawbench.flows.lease import LeaseLost, held
from clawbench.flows.tools import TOOLS, Action, Peek, Start
from clawbench.hands import Desk, Hands
from clawbench.model.call import Answer
from clawbench.model.work import CallJob, Fault, FinalizeJob, Job, Worked, fault_of
from sandbox_providers.errors import SandboxError

log = structlog.get_logger()

HEARTBEAT_S = 3.0
_RETRY_S = 1.0


async def perform(desk: Desk, hands: Hands, job: Job) -> Answer | None:
    """Do one job to its end; the answer of a call, None when the lease was lost or the job has none."""

    async def beat() -> bool:
        word = await desk.beat(job.lease)
        if word.cancel and isinstance(job, CallJob) and job.sandbox is not None:
            with contextlib.suppress(SandboxError):  # the heart goes on beating; the next beat asks again
                await hands.provider.cancel(job.sandbox, job.call_id)
        return word.held

    try:
        async with held(beat, lambda: desk.give_back(job.lease), every_s=HEARTBEAT_S):
            if isinstance(job, CallJob):
                return await _answered(desk, hands, job)
            await _finalized(desk, hands, job)
        await let_go(desk, hands, job)  # the lease ended with the score
    except LeaseLost:
        log.warning("lease.lost", run=str(job.lease.run_id), call=job.lease.call_id, epoch=job.lease.epoch)
    return None


async def _finalized(desk: Desk, hands: Hands, job: FinalizeJob) -> None:
    try:
        await finalize(desk, hands, job)
    except ClawBenchError as error:
        await desk.failed(job.lease, fault_of(error))


async def _answered(desk: Desk, hands: Hands, job: CallJob) -> Answer | None:
    """Record what came of the call; while the desk does not answer, wait for it: the work is done only once."""
    try:
        result: Worked | Fault = await _persist(hands, job)
    except ClawBenchError as error:
        result = fault_of(error)
    while True:
        try:
            if isinstance(result, Worked):
                return await desk.worked(job.lease, result)
            return await desk.failed(job.lease, result)
        except Unavailable as error:
            log.warning("record.waits", run=str(job.lease.run_id), call=job.call_id, why=error.message)
            await asyncio.sleep(_RETRY_S)


async def _persist(hands: Hands, job: CallJob) -> Worked:
    """Act, and while the engine does not answer try again until the run's deadline: unreachable is not lost."""
    clock = asyncio.get_running_loop().time
    until = clock() + job.seconds_left
    while True:
        try:
            return await _act(hands, job)
        except Unavailable as error:
            if clock() > until:
                # Recorded as it is, it would tell the agent for ever to send the call again.
                raise OutcomeUnknown(f"the run's time was up, and still {error.message}") from error
            log.warning("call.waits", run=str(job.lease.run_id), call=job.call_id, why=error.message)
            await asyncio.sleep(_RETRY_S)


async def _act(hands: Hands, job: CallJob) -> Worked:
    tool = TOOLS[job.tool]
    arguments = tool.parse(job.arguments)
    if isinstance(tool, Start):
        assert job.spec is not None
        return await tool.make(hands, job.spec)
    if job.sandbox is None:
        raise OutcomeUnknown("the run has no sandbox")
    if isinstance(tool, Peek):
        return await tool.peek(hands, job.sandbox, arguments)
    assert isinstance(tool, Action)
    return await tool.act(hands, job.sandbox, job.call_id, arguments)
