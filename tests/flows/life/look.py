"""A look at what is: the ledger and the trace in one snapshot of the database, the files in the sandbox itself."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from clawbench.flows.publish import facts_of
from clawbench.flows.tools import TOOLS
from clawbench.model.event import Event, EventKind, broken_at
from clawbench.model.gate import WORKSPACE, ask, open_for_publication
from clawbench.store import events
from clawbench.store.artifacts import Blobs
from clawbench.store.db import Row
from tests.faults.world import World
from tests.flows.life.model import MOVES, OVER, Life

_RUN = """
select r.status, r.why, r.last_seq, r.head_sha256, r.calls_used, r.calls_in_flight, s.value as score,
       (select sha256 from clawbench.artifacts w where w.run_id = r.id and w.name = $2) as workspace,
       exists (select from clawbench.publications p where p.run_id = r.id) as public
from clawbench.runs r left join clawbench.scores s on s.run_id = r.id where r.id = $1
"""
_CALLS = """
select client_call_id, tool, arguments::text as arguments, answer::text as answer, outcome, deliveries, conflicts
from clawbench.calls where run_id = $1 order by seq
"""
_STAGES = (
    EventKind.RUN_CREATED,
    EventKind.RUN_STARTED,
    EventKind.FINALIZING,
    EventKind.FROZEN,
    EventKind.VERIFIED,
    EventKind.RUN_FINISHED,
)
_NEEDS: Mapping[str, frozenset[str]] = {
    "done": frozenset({"finalize_run", "submit"}),
    "cancelled": frozenset({"cancel_run"}),
    "expired": frozenset({"time"}),
    "voided": frozenset({"time", "killed"}),
}
"""Each end has one of these causes."""


async def look(world: World, life: Life) -> None:
    """Everything the database says of the run, against the model."""
    run_id = UUID(life.run_id)
    told = {sent.call_id for sent in life.calls if sent.told}  # calls under way may be told meanwhile
    async with world.pool.acquire() as conn, conn.transaction():
        await conn.execute("set transaction isolation level repeatable read, read only")
        run = await conn.fetchrow(_RUN, run_id, WORKSPACE)
        calls = await conn.fetch(_CALLS, run_id)
        trace = await events.of_run(conn, run_id)
        facts = await facts_of(conn, run_id)
    assert run is not None
    _moved(life, run)
    _traced(run, trace)
    unanswered = [call for call in calls if call["answer"] is None]
    for call in calls:
        _kept(life, call)
    assert not (lost := told & {call["client_call_id"] for call in unanswered}), f"told, and not recorded: {lost}"
    assert run["calls_in_flight"] == len(unanswered), f"{run['calls_in_flight']} in flight, not {len(unanswered)}"
    assert run["calls_used"] == len(calls)
    acting = [call for call in unanswered if not TOOLS[call["tool"]].ends_work and call["tool"] != "start_run"]
    assert len(acting) <= world.settings.calls_in_flight
    _told_in(trace, calls)
    assert (run["score"] is not None) == (run["status"] == "done"), f"{run['status']} with score {run['score']}"
    if run["score"] is not None:
        assert run["score"] == life.reward
    unknown = any(call["outcome"] == "unknown" for call in calls)
    public = open_for_publication(ask(replace(facts, approved_head=facts.run.head_sha256)))
    if unknown or run["status"] != "done":
        assert not public, f"publishable: {run['status']}, {unknown=}"
    elif all(call["tool"] == "finalize_run" for call in unanswered):
        assert public, ask(facts)
    assert not run["public"], "public, and nobody approved it"


def _moved(life: Life, run: Row) -> None:
    status = run["status"]
    assert status in MOVES[life.status], f"from {life.status} to {status}"
    life.status = status
    if status in OVER:
        assert life.ended_by & _NEEDS[status], f"{status} ({run['why']}), and all that was done is {life.ended_by}"
        assert life.head in ("", run["head_sha256"]), "the trace of a run that is over went on"
        life.is_over, life.head = True, run["head_sha256"]


def _traced(run: Row, trace: list[Event]) -> None:
    assert (broken := broken_at(trace)) is None, broken
    assert (trace[-1].seq, trace[-1].sha256) == (run["last_seq"], run["head_sha256"])
    passed = [_STAGES.index(event.kind) for event in trace if event.kind in _STAGES]
    assert passed == sorted(set(passed)), f"stages out of order or twice: {[_STAGES[each] for each in passed]}"
    stage = _STAGES[passed[-1]]
    match run["status"]:
        case "queued":
            assert stage is EventKind.RUN_CREATED
        case "running":
            assert stage is EventKind.RUN_STARTED
        case "finalizing":
            assert stage in (EventKind.FINALIZING, EventKind.FROZEN)
        case over:
            assert trace[-1].kind is EventKind.RUN_FINISHED
            assert json.loads(trace[-1].payload)["status"] == over
            assert (_STAGES.index(EventKind.VERIFIED) in passed) == (over == "done")


def _kept(life: Life, call: Row) -> None:
    """The call is one that was sent, with the arguments and the answer of its first delivery."""
    call_id = call["client_call_id"]
    sent = next((sent for sent in life.calls if sent.call_id == call_id), None)
    assert sent is not None, f"nobody sent {call['tool']} {call_id}"
    assert not sent.refused, f"{call_id} was refused as {sent.refused}, and is in the ledger"
    arguments = json.loads(call["arguments"])
    assert call["tool"] == sent.tool
    assert {name: arguments.get(name) for name in sent.arguments} == sent.arguments
    assert call["deliveries"] <= sent.deliveries
    answer = call["answer"]
    if answer is None:
        assert call_id not in life.recorded, f"the answer of {call_id} is gone"
        return
    assert life.recorded.setdefault(call_id, answer) == answer, f"the answer of {call_id} changed"
    assert list(sent.told) in ([], [answer]), f"{call_id} was told {list(sent.told)}, recorded is {answer}"
    assert call["outcome"] == "answered" or not life.is_open, f"{call_id}: {answer}"


def _told_in(trace: list[Event], calls: Sequence[Row]) -> None:
    """The trace accepts each call once, in the run's time, and tells its answer at most once."""
    accepted, answered, closed = list[str](), list[str](), False
    for event in trace:
        closed = closed or event.kind in (EventKind.FINALIZING, EventKind.RUN_FINISHED)
        if event.kind is EventKind.CALL_ACCEPTED:
            told = json.loads(event.payload)
            accepted.append(told["client_call_id"])
            assert not closed or told["tool"] == "finalize_run", f"{told['tool']} was accepted after the cut"
        elif event.kind is EventKind.CALL_ANSWERED:
            told = json.loads(event.payload)
            answered.append(told["client_call_id"])
            (call,) = (call for call in calls if call["client_call_id"] == answered[-1])
            assert told["answer"] == json.loads(call["answer"] or "null")
    assert accepted == [call["client_call_id"] for call in calls]
    assert len(answered) == len(set(answered)) and set(answered) <= set(accepted)
    over = bool(trace) and trace[-1].kind is EventKind.RUN_FINISHED
    missing = {call["client_call_id"] for call in calls if call["answer"] is not None} - set(answered)
    assert over or not missing, f"answered, and not in the trace: {missing}"


async def look_into(world: World, life: Life) -> None:
    """What the sandbox holds, or what was taken out of it, against the model."""
    ran = frozenset(life.ran)  # calls under way may come to their end meanwhile
    digest = await world.pool.fetchval(
        "select sha256 from clawbench.artifacts where run_id = $1 and name = $2", UUID(life.run_id), WORKSPACE
    )
    if digest is not None:
        life.holds(tree_of(gzip.decompress(await Blobs(world.settings.artifacts).get(digest))), ran)
        return
    program = await asyncio.create_subprocess_exec(
        *("docker", "cp", f"clawbench-cb-{life.run_id}:/app", "-"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    packed, _ = await program.communicate()
    if program.returncode == 0:
        life.holds(tree_of(packed), ran)


def tree_of(packed: bytes) -> dict[str, str]:
    """The files of a tar of ``/app``, by name."""
    tree = dict[str, str]()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            if (content := archive.extractfile(member)) is not None:
                tree[member.name.removeprefix("app/")] = content.read().decode()
    return tree
