"""start_run: pick the task, take a place under the caps, make the sandbox, start the clock."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from clawbench.deps import Deps
from clawbench.errors import InvalidArguments, NotFound, OverCap, Refused
from clawbench.hands import Hands, in_our_words
from clawbench.model.arguments import StartRun
from clawbench.model.call import Claim
from clawbench.model.caller import Caller
from clawbench.model.event import EventKind
from clawbench.model.run import Mode, Run, RunStatus
from clawbench.model.work import Worked
from clawbench.store import calls, events, runs, tasks
from clawbench.store.db import Connection
from clawbench.store.tasks import StoredTask
from sandbox_providers.contract import SandboxSpec

QUEUE_LIMIT_S = 300
"""A run that has no sandbox by then is voided."""
GRACE_S = QUEUE_LIMIT_S + 3600
"""How long a sandbox outlives its run's clock by itself: time to finalize."""


async def claim_start(deps: Deps, caller: Caller, tool: str, arguments: StartRun) -> tuple[UUID, Claim]:
    """Make the run and claim the call that starts it, in one transaction; a redelivery finds both."""
    async with deps.pool.acquire() as conn, conn.transaction():
        run_id = await runs.by_start_call(conn, caller.agent_id, arguments.client_call_id)
        if run_id is None:
            await runs.hold_user(conn, caller.user_id)
            run_id = await runs.by_start_call(conn, caller.agent_id, arguments.client_call_id)
        if run_id is None:
            run_id = await _new_run(deps, conn, caller, arguments)
        claim = await calls.claim(
            conn,
            run_id=run_id,
            user_id=caller.user_id,
            client_call_id=arguments.client_call_id,
            tool=tool,
            arguments=arguments.model_dump(mode="json"),
            accepting=frozenset({RunStatus.QUEUED}),
            in_flight_limit=deps.settings.calls_in_flight,
            exempt_from_caps=True,
            places=deps.places,
        )
        return run_id, claim


async def _new_run(deps: Deps, conn: Connection, caller: Caller, arguments: StartRun) -> UUID:
    task = await _chosen(conn, caller, arguments)
    await _check_caps(deps, conn, caller)
    run_id = await runs.insert(
        conn,
        user_id=caller.user_id,
        agent_id=caller.agent_id,
        benchmark=arguments.benchmark,
        task=task.key,
        form=arguments.form,
        mode=Mode.AGENT,
        start_call_id=arguments.client_call_id,
        metadata=arguments.metadata,
        priority=arguments.priority,
        provider=deps.settings.provider,
        call_limit=deps.settings.calls_per_run,
        output_limit=deps.settings.output_bytes_per_run,
        wall_limit_s=min(int(task.definition.agent_timeout_s), deps.settings.wall_s_per_run),
        queue_limit_s=QUEUE_LIMIT_S,
    )
    created = {
        "agent": caller.agent_name,
        "benchmark": arguments.benchmark,
        "task_id": task.definition.task_id,
        "task_digest": task.definition.digest,
        "image_digest": task.image_digest,
        "mode": Mode.AGENT,
        "metadata": arguments.metadata,
    }
    await events.append(conn, run_id, EventKind.RUN_CREATED, created)
    return run_id


async def _check_caps(deps: Deps, conn: Connection, caller: Caller) -> None:
    load, caps = await runs.load_of(conn, caller.agent_id, caller.user_id), deps.settings
    finish = "Finalize or cancel one of them (list_runs shows them), then start again."
    if load.unfinished >= caps.runs_at_once:
        raise OverCap(
            f"{caller.agent_name} has {load.unfinished} unfinished runs, which is the most it may have",
            hint=finish,
            retry_after_s=30,
        )
    if load.unfinished_of_user >= caps.runs_at_once_per_user:
        raise OverCap(
            f"your agents have {load.unfinished_of_user} unfinished runs, which is the most they may have together",
            hint=finish,
            retry_after_s=30,
        )
    if load.today >= caps.runs_a_day:
        raise OverCap(
            f"{caller.agent_name} has begun {load.today} runs in 24 hours, which is the most it may",
            hint="Wait, as told.",
            retry_after_s=3600,
        )


async def _chosen(conn: Connection, caller: Caller, arguments: StartRun) -> StoredTask:
    if arguments.form is not None:
        raise InvalidArguments(f"{arguments.benchmark} has no forms", hint="Leave form out.")
    if arguments.task_id is None:
        task = await tasks.least_tried(conn, arguments.benchmark, caller.agent_id)
        if task is None:
            raise NotFound(f"{arguments.benchmark} has no task that is ready", hint="list_benchmarks shows what is.")
        return task
    task = await tasks.current(conn, arguments.benchmark, arguments.task_id)
    if task is None:
        raise NotFound(f"{arguments.benchmark} has no ready task {arguments.task_id}", hint="list_tasks shows them.")
    return task


async def make_sandbox(hands: Hands, spec: SandboxSpec) -> Worked:
    """The run's sandbox: made once per id, whoever is handed the call."""
    with in_our_words():
        sandbox = await hands.provider.create(spec)
        has_bash = await hands.provider.stat(sandbox, "/bin/bash") is not None
        observed = {**sandbox.observed, "shell": "/bin/bash" if has_bash else "/bin/sh"}
        return Worked(body={}, made=replace(sandbox, observed=observed), site=await hands.provider.site())


async def task_of(deps: Deps, run: Run) -> StoredTask:
    """The version of the task that this run was started with."""
    task = await tasks.by_key(deps.pool, run.task) if run.task is not None else None
    if task is None or task.image_digest is None:
        raise Refused("the run's task is no longer here")
    return task
