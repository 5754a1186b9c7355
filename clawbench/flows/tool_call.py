"""The tool call: authenticate the caller, find the run and its lease, claim, run, record, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, assert_never
from uuid import UUID, uuid4

from clawbench.deps import Deps
from clawbench.errors import CallIdConflict, CallInProgress, InvalidArguments, NotFound, OverCap, RunNotActive
from clawbench.flows.drive import begin
from clawbench.flows.run_views import owned_run, result_of
from clawbench.flows.start_run import claim_start
from clawbench.flows.tools import TOOLS, Action, Decision, Lookup, Peek, Start
from clawbench.model.arguments import ActsInRun, Arguments, OfRun, StartRun
from clawbench.model.call import Answer, Claim, Conflict, Fresh, Replay, Running, Turned
from clawbench.model.caller import Caller
from clawbench.model.canonical import sha256_hex
from clawbench.model.event import EventKind
from clawbench.model.run import RunStatus
from clawbench.model.tool import Tool
from clawbench.store import calls, events

Progress = Callable[[float, str], Awaitable[None]]
"""Told every few seconds while a call runs: seconds so far, and a word."""

FIRST_WAIT_S = 240.0
"""The longest a request is held for a call that it began; Codex gives up at 300 s."""
DUPLICATE_WAIT_S = 25.0
_PROGRESS_S = 10.0
_LOOK_FIRST_S, _LOOK_LAST_S = 0.1, 1.0
"""How long to wait before looking for an answer that another process brings: a quarter longer each time."""


async def tool_call(deps: Deps, caller: Caller, name: str, raw: Mapping[str, Any], progress: Progress) -> Answer:
    """One delivery of one tool call, and the answer that every delivery of it gets.

    Raises:
        ClawBenchError: nothing ran; the delivery itself was refused.
    """
    tool = TOOLS.get(name)
    if tool is None:
        raise InvalidArguments(f"there is no tool {name[:64]!r}", hint="tools/list names the tools.")
    caller.require(tool.scope)
    arguments = tool.parse(raw)
    match tool:
        case Lookup():
            return Answer.of(await tool.look(deps, caller, arguments))
        case Peek():
            return await _peek(deps, caller, tool, arguments, progress)
        case Action() | Start() | Decision():
            return await _act_once(deps, caller, tool, arguments, progress)
        case _:
            assert_never(tool)


async def _act_once(deps: Deps, caller: Caller, tool: Tool, arguments: Arguments, progress: Progress) -> Answer:
    run_id, call_id, claim = await _claim(deps, caller, tool, arguments)
    match claim:
        case Fresh(job, here):
            begin(deps, job) if here else deps.background.work.ring()
            return await _await_answer(deps, run_id, call_id, FIRST_WAIT_S, progress)
        case Running():
            return await _await_answer(deps, run_id, call_id, DUPLICATE_WAIT_S, progress)
        case Replay(answer):
            return answer
        case Conflict():
            raise CallIdConflict
        case Turned():
            return await _turned(deps, caller, tool, run_id, claim)
        case _:
            assert_never(claim)


async def _claim(deps: Deps, caller: Caller, tool: Tool, arguments: Arguments) -> tuple[UUID, str, Claim]:
    if isinstance(arguments, StartRun):
        run_id, claim = await claim_start(deps, caller, tool.name, arguments)
        return run_id, arguments.client_call_id, claim
    assert isinstance(arguments, OfRun)
    # What only looks has no id of its own; it gets one when it has to go through the ledger to a worker elsewhere.
    call_id = arguments.client_call_id if isinstance(arguments, ActsInRun) else f"look:{uuid4()}"
    claim = await calls.claim(
        deps.pool,
        run_id=arguments.run_id,
        user_id=caller.user_id,
        client_call_id=call_id,
        tool=tool.name,
        arguments=arguments.model_dump(mode="json"),
        accepting=tool.accepting,
        in_flight_limit=deps.settings.calls_in_flight,
        exempt_from_caps=tool.ends_work,
        places=None if isinstance(tool, Decision) else deps.places,
    )
    return arguments.run_id, call_id, claim


async def _await_answer(deps: Deps, run_id: UUID, call_id: str, hold_s: float, progress: Progress) -> Answer:
    """The recorded answer, whoever works on the call; leaving early stops nothing."""
    clock = asyncio.get_running_loop().time
    begun = told = clock()
    look_s = _LOOK_FIRST_S
    while True:
        task = deps.background.find((run_id, call_id))
        if task is None:
            answer = await calls.answer_of(deps.pool, run_id, call_id)
            if answer is not None:
                return answer
            await deps.background.answers.wait(look_s)
            look_s = min(look_s * 1.25, _LOOK_LAST_S)
        else:
            done, _ = await asyncio.wait({task}, timeout=min(_PROGRESS_S, hold_s))
            answer = task.result() if done and not task.cancelled() else None
            if answer is not None:
                return answer
        if clock() - told >= _PROGRESS_S:
            told = clock()
            await progress(told - begun, "still running")
        if clock() - begun >= hold_s:
            raise CallInProgress(retry_after_s=2)


async def _turned(deps: Deps, caller: Caller, tool: Tool, run_id: UUID, turned: Turned) -> Answer:
    match turned.why:
        case "not_found":
            raise NotFound("there is no such run of yours")
        case "run_not_active" if tool.name == "finalize_run" and turned.status == RunStatus.DONE:
            run = await owned_run(deps, caller, run_id)
            return Answer.of({**await result_of(deps, run), "budgets": run.budgets.as_dict()})
        case "run_not_active":
            raise RunNotActive(f"the run is {turned.status} and does not take {tool.name}")
        case "in_flight":
            raise OverCap(
                "too many calls of this run are in flight",
                retry_after_s=1,
                hint="Wait for the answer of one.",
            )
        case cap:
            raise OverCap(f"the run's budget of {cap.replace('_', ' ')} is used up", hint="Finalize what you have.")


async def _peek(deps: Deps, caller: Caller, tool: Peek, arguments: Arguments, progress: Progress) -> Answer:
    """Look at once where this process reaches the sandbox; else let a worker look, as a call of its own."""
    assert isinstance(arguments, OfRun)
    run = await owned_run(deps, caller, arguments.run_id)
    if run.status not in tool.accepting or not run.budgets.seconds_left:
        raise RunNotActive(f"the run is {run.status} and does not take {tool.name}")
    if not run.budgets.output_bytes_left:
        raise OverCap("the run's budget of output bytes is used up")
    if deps.hands is None or run.sandbox is None or run.site not in deps.places.sites:
        return await _act_once(deps, caller, tool, arguments, progress)
    seen = await tool.peek(deps.hands, run.sandbox, arguments)
    told = {
        "tool": tool.name,
        "arguments": arguments.model_dump(mode="json"),
        "answer_sha256": sha256_hex(Answer.of(seen.body).body),
    }
    await events.append(deps.pool, run.id, EventKind.LOOKED, told, output_bytes=seen.output_bytes)
    return Answer.of({**seen.body, "budgets": run.budgets.less(seen.output_bytes).as_dict()})
