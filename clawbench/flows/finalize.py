"""Finalize: freeze the sandbox, score in a place the agent never touched, import score, trace and artifacts,
ask every gate, publish only what passed."""

from __future__ import annotations

from contextlib import suppress

from clawbench.deps import Deps
from clawbench.flows.publish import settle
from clawbench.flows.verify import verifier, verify
from clawbench.flows.workspace import take_out
from clawbench.hands import Desk, Hands, in_our_words
from clawbench.model.event import EventKind
from clawbench.model.run import RunStatus
from clawbench.model.work import FinalizeJob, Lease, Verified
from clawbench.store import artifacts, events, runs, scores
from clawbench.store.scores import Score
from sandbox_providers.errors import SandboxError


async def finalize(desk: Desk, hands: Hands, job: FinalizeJob) -> None:
    """A worker's half: freeze, take out, verify, and bring the score to the desk."""
    async with verifier(hands, job.scoring) as fresh:
        workspace = job.workspace
        if workspace is None:
            with in_our_words():
                await hands.provider.freeze(job.sandbox)
                workspace = await take_out(hands, job.sandbox, job.scoring)
            await desk.taken_out(job.lease, workspace)
        await desk.scored(job.lease, await verify(hands, job.scoring, workspace, fresh))


async def let_go(desk: Desk, hands: Hands, job: FinalizeJob) -> None:
    """Destroy the sandbox of a run that is over; one that is still to be scored may be another worker's by now."""
    if not await desk.alive([job.lease.run_id]):
        with suppress(SandboxError):  # what does not go now, the reaper finds
            await hands.provider.destroy(job.sandbox)


async def import_score(deps: Deps, lease: Lease, verified: Verified) -> bool:
    """The desk's half, all of it or nothing: score, artifacts, the run's last event, its signature, the gates.

    False when the lease was lost: another worker's score counts.
    """
    score = Score(value=verified.reward, passed=verified.reward >= 1, scorer=verified.scorer, details=verified.details)
    async with deps.pool.acquire() as conn, conn.transaction():
        await runs.hold(conn, lease.run_id)
        if not await runs.keep_finalizing(conn, lease):
            return False
        await scores.insert(conn, lease.run_id, score)
        for kept in verified.kept:
            await artifacts.name_it(conn, lease.run_id, kept)
        hashes = {artifact.name: artifact.sha256 for artifact in await artifacts.of_run(conn, lease.run_id)}
        told = {"score": score.value, "passed": score.passed, "scorer": score.scorer, "details": score.details}
        told |= {"sandbox": verified.observed, "artifacts": hashes}
        await events.append(conn, lease.run_id, EventKind.VERIFIED, told)
        await events.append(conn, lease.run_id, EventKind.RUN_FINISHED, {"status": RunStatus.DONE, "why": ""})
        await runs.done(conn, lease)
        over = await runs.by_id(conn, lease.run_id)
        assert over is not None
        await runs.sign(conn, lease.run_id, deps.signer.sign(str(lease.run_id), over.last_seq, over.head_sha256))
        await settle(conn, lease.run_id)
    return True
