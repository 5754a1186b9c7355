"""What must hold whatever broke: asked of the database, of the sandboxes' own counts, and of the agents' account."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from random import Random
from typing import Any
from uuid import UUID

from clawbench.model.event import Event, EventKind, broken_at
from clawbench.model.gate import WORKSPACE
from clawbench.model.signature import load_or_create
from clawbench.store import events
from clawbench.store.artifacts import Blobs
from tests.faults.agents import Agent
from tests.faults.ledger import Ledger
from tests.faults.sandboxes import files_of, lines_of
from tests.faults.world import World
from tests.support.engine import containers_of

SETTLED_WITHIN_S = 150.0
REPLAYED = 300
_NOT_OURS = (
    "starlette.requests.ClientDisconnect",  # a cut client, as the MCP SDK tells it
    "ASGI callable returned without completing response.",  # a stream that its stopping server ended, as uvicorn does
    "timeout graceful shutdown exceeded",  # a half-open client's half request, given up by uvicorn when told to stop
    "Resetting connection with an active transaction",  # a transaction that was cancelled, as asyncpg does
)

_CALLS = """
select run_id::text as run_id, client_call_id, tool, seq, arguments::text as arguments, answer::text as answer,
       is_error, outcome, answered_at
from clawbench.calls order by calls.run_id, seq
"""
_RUNS = """
select r.id::text as run_id, r.status, r.why, r.last_seq, r.head_sha256, r.signature, r.lease_epoch, r.finished_at,
       r.start_call_id, s.value as score,
       (select sha256 from clawbench.artifacts w where w.run_id = r.id and w.name = $1) as workspace
from clawbench.runs r left join clawbench.scores s on s.run_id = r.id order by r.created_at
"""

Row = Mapping[str, Any]


async def settled(world: World, ledger: Ledger) -> None:
    """With nothing broken any more, every run and call comes to its end, and every sandbox goes."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SETTLED_WITHIN_S
    while left := await _left(world):
        if loop.time() > until:
            for each in left:
                ledger.wrong(each)
            return
        await asyncio.sleep(0.2)


async def _left(world: World) -> list[str]:
    runs = await world.pool.fetch("select id, status, deadline from clawbench.runs where finished_at is null")
    calls = await world.pool.fetch(
        "select run_id, client_call_id, tool, lease_epoch from clawbench.calls where answered_at is null"
    )
    left = [f"run {row['id']} is still {row['status']}" for row in runs]
    left += [f"{row['tool']} {row['client_call_id']} of run {row['run_id']} has no answer" for row in calls]
    if not left:
        left = [f"sandbox {name} is still there" for name in await containers_of(world.instance)]
    return left


async def check(world: World, ledger: Ledger, agents: Sequence[Agent], mind: Random) -> None:
    """Write down everything that does not hold."""
    runs = [dict(row) for row in await world.pool.fetch(_RUNS, WORKSPACE)]
    calls = [dict(row) for row in await world.pool.fetch(_CALLS)]
    by_run = {run_id: list(rows) for run_id, rows in groupby(calls, key=lambda row: str(row["run_id"]))}
    for run in runs:
        ledger.ends[run["status"]] += 1
        trace = await events.of_run(world.pool, UUID(run["run_id"]))
        its_calls = by_run.get(run["run_id"], [])
        ledger.ends["calls of unknown outcome"] += sum(call["outcome"] == "unknown" for call in its_calls)
        _check_run(world, ledger, run, trace)
        _check_calls(ledger, run, its_calls, trace)
        await _check_effects(world, ledger, run, its_calls)
    _check_account(ledger, calls)
    await _check_replays(ledger, agents, mind)


def _check_run(world: World, ledger: Ledger, run: Row, trace: list[Event]) -> None:
    name = f"run {run['run_id']} ({run['status']}: {run['why']})"
    if (broken := broken_at(trace)) is not None:
        ledger.wrong(f"{name}: {broken}")
    if not trace or (trace[-1].seq, trace[-1].sha256) != (run["last_seq"], run["head_sha256"]):
        ledger.wrong(f"{name}: the trace does not end where the run says")
    kinds = Counter(event.kind for event in trace)
    if kinds[EventKind.RUN_CREATED] != 1 or kinds[EventKind.RUN_STARTED] > 1 or kinds[EventKind.FINALIZING] > 1:
        ledger.wrong(f"{name}: begun more than once: {kinds}")
    if kinds[EventKind.RUN_FINISHED] != 1 or trace[-1].kind is not EventKind.RUN_FINISHED:
        ledger.wrong(f"{name}: its end is not its last event")
    if run["status"] == "done":
        _check_score(world, ledger, name, run, trace)
    elif run["score"] is not None or kinds[EventKind.VERIFIED]:
        ledger.wrong(f"{name}: has a score")
    if run["status"] == "voided" and run["run_id"] not in ledger.killed:
        ledger.wrong(f"{name}: voided, and nobody touched its sandbox")
    if run["status"] == "expired":
        ledger.wrong(f"{name}: stuck past its time")


def _check_score(world: World, ledger: Ledger, name: str, run: Row, trace: list[Event]) -> None:
    told = [json.loads(event.payload)["score"] for event in trace if event.kind is EventKind.VERIFIED]
    if told != [run["score"]] or run["score"] is None:
        ledger.wrong(f"{name}: score {run['score']}, and its trace tells {told}")
    frozen = sum(event.kind is EventKind.FROZEN for event in trace)
    if frozen != 1:
        ledger.wrong(f"{name}: taken out {frozen} times")
    signer = load_or_create(world.settings.data_dir / "keys" / "evidence.ed25519")
    if run["signature"] != signer.sign(run["run_id"], run["last_seq"], run["head_sha256"]):
        ledger.wrong(f"{name}: its signature is not over its head")
    expected = ledger.rewards.get(run["run_id"])
    if expected is not None and run["score"] != expected:
        ledger.wrong(f"{name}: scored {run['score']}, and its agent left {expected}")


def _check_calls(ledger: Ledger, run: Row, calls: list[dict[str, Any]], trace: list[Event]) -> None:
    accepted = Counter(_call_of(event) for event in trace if event.kind is EventKind.CALL_ACCEPTED)
    answered = Counter(_call_of(event) for event in trace if event.kind is EventKind.CALL_ANSWERED)
    if accepted != Counter(call["client_call_id"] for call in calls):
        ledger.wrong(f"run {run['run_id']}: the trace accepts other calls than the ledger")
    for call in calls:
        name = f"{call['tool']} {call['client_call_id']} of run {run['run_id']}"
        is_over = run["finished_at"] is not None
        after_the_end = call["answered_at"] is None or (is_over and call["answered_at"] > run["finished_at"])
        if answered[call["client_call_id"]] != 1 and not (after_the_end and not answered[call["client_call_id"]]):
            ledger.wrong(f"{name}: answered {answered[call['client_call_id']]} times in the trace")
        if call["outcome"] == "unknown" and run["run_id"] not in ledger.killed and run["status"] != "cancelled":
            ledger.wrong(f"{name}: outcome unknown, and nobody touched the sandbox: {call['answer']}")
        error = json.loads(call["answer"] or "{}").get("error", {})
        if error.get("code") in ("unavailable", "internal"):
            ledger.wrong(f"{name}: a passing fault was recorded as its answer: {call['answer']}")


def _call_of(event: Event) -> str:
    return json.loads(event.payload)["client_call_id"]


async def _check_effects(world: World, ledger: Ledger, run: Row, calls: list[dict[str, Any]]) -> None:
    """Whatever the sandbox counted: nothing twice, nothing unasked, and everything that was answered well."""
    last = run["workspace"] is not None
    if last:
        files = files_of(gzip.decompress(await Blobs(world.settings.artifacts).get(run["workspace"])))
        _check_files(ledger, run, files)
        seen = lines_of(files)
    elif run["run_id"] in ledger.effects:
        seen = ledger.effects[run["run_id"]]
    else:
        return
    known = {call["client_call_id"] for call in calls}
    for line, times in seen.items():
        if times > 1:
            ledger.wrong(f"run {run['run_id']}: {line} had its effect {times} times")
        if line not in known:
            ledger.wrong(f"run {run['run_id']}: {line} had an effect, and was never accepted")
    if not last and run["status"] == "cancelled":
        return  # it was counted before the end
    for call in calls:
        leaves_a_line = f"echo {call['client_call_id']} >>/app/effects" in call["arguments"]
        if leaves_a_line and _was_well(call) and not seen[call["client_call_id"]]:
            ledger.wrong(f"run {run['run_id']}: {call['client_call_id']} was answered well, without its effect")


def _was_well(call: Row) -> bool:
    answer = json.loads(call["answer"] or "{}")
    return call["outcome"] == "answered" and not call["is_error"] and answer.get("exit_code") == 0


def _check_files(ledger: Ledger, run: Row, files: Mapping[str, str]) -> None:
    """A write that was made again, however late, would have undone what came after it."""
    for name, expected in ledger.files.get(run["run_id"], {}).items():
        if files.get(name) != expected:
            ledger.wrong(f"run {run['run_id']}: {name} holds {files.get(name)!r}, and was left with {expected!r}")


def _check_account(ledger: Ledger, calls: list[dict[str, Any]]) -> None:
    """What the agents were told is what was recorded, and the same every time."""
    recorded = {(call["run_id"], call["client_call_id"]): call for call in calls}
    for sent in ledger.sent.values():
        name = f"{sent.tool} {sent.call_id} of run {sent.run_id}"
        if len(sent.told) > 1:
            ledger.wrong(f"{name}: {len(sent.told)} different answers: {list(sent.told)}")
        call = recorded.get((sent.run_id or "", sent.call_id))
        if sent.told and sent.run_id is not None and (call is None or call["answer"] not in sent.told):
            ledger.wrong(f"{name}: was told {list(sent.told)}, recorded is {call and call['answer']}")
        if sent.refused and sent.told and sent.tool != "finalize_run":
            ledger.wrong(f"{name}: refused as {sent.refused} and answered as well")
        if sent.refused - {"run_not_active"}:
            ledger.wrong(f"{name}: refused as {sent.refused}")
        if sent.refused and call is not None and not sent.told:
            ledger.wrong(f"{name}: refused as {sent.refused}, and recorded")


async def _check_replays(ledger: Ledger, agents: Sequence[Agent], mind: Random) -> None:
    """Some calls once more, long after: the first answer again."""
    by_token = {agent.token: agent for agent in agents}
    answered = [sent for sent in ledger.sent.values() if sent.told]
    for sent in mind.sample(answered, min(REPLAYED, len(answered))):
        reply = await by_token[sent.token].until_answered(sent)
        if reply.text not in sent.told or len(sent.told) != 1:
            ledger.wrong(f"{sent.tool} {sent.call_id}: replayed as {reply.text[:300]}")


def unexpected(lines: Sequence[str]) -> list[str]:
    """Errors that a server's log should never hold, whatever broke around it; the end of each, which names it."""
    records = list[list[str]]()
    for line in lines:
        if line.startswith(("{", "ERROR:", "CRITICAL:", "WARNING:", "ready:")) or not records:
            records.append([])
        records[-1].append(line)
    found = list[str]()
    for record in records:
        whole = "\n".join(record)
        by_us = '"level": "error"' in whole or '"exception"' in whole
        if (by_us or whole.startswith(("ERROR:", "CRITICAL:"))) and not any(sign in whole for sign in _NOT_OURS):
            found.append(f"{whole[:200]} … {whole[-900:]}")
    return found
