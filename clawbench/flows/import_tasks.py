"""Import a task: keep its bundle, build its image, and prove that it is neither free nor impossible."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from clawbench.benchmarks import terminal_bench
from clawbench.deps import Deps
from clawbench.errors import ClawBenchError, InvalidArguments, Refused, Unavailable
from clawbench.flows.specs import TRIAL_PREFIX, agent_spec, scoring_of
from clawbench.flows.verify import SCORER, verifier, verify
from clawbench.flows.workspace import take_out
from clawbench.hands import Hands, in_our_words
from clawbench.store import tasks
from clawbench.store.tasks import StoredTask
from sandbox_providers.contract import ExecSpec, Finished, Outcome, Provider, Sandbox

Tell = Callable[[str], None]
"""Told a line when a step is done."""

_TRIAL_TTL_S = 7200
_SOLVE = "exec bash /solution/solve.sh"


async def import_task(deps: Deps, directory: Path, tell: Tell) -> StoredTask:
    """Bring one task directory in; the version is then ``ready``, or ``refused`` with the reason.

    Raises:
        InvalidArguments: the directory is not a task in the Harbor format.
        Unavailable: the engine did not answer; nothing is decided.
    """
    hands = deps.hands
    if hands is None:
        raise Unavailable("this process has no sandbox provider to try the task on")
    definition = terminal_bench.load_task(directory)
    bundle = terminal_bench.pack(directory)
    task = await tasks.imported(deps.pool, definition, await deps.blobs.put(bundle))
    try:
        task = await _build(deps, hands.provider, task, bundle)
        if task.reference_reward is None:
            task = await _prove(deps, hands, task, bundle, tell)
        _judge(task)
    except (Refused, InvalidArguments) as error:
        await tasks.refuse(deps.pool, task.key, error.message)
    except ClawBenchError as error:
        if error.code != terminal_bench.RewardInvalid.code:
            raise
        await tasks.refuse(deps.pool, task.key, f"its tests left no usable reward: {error.message}")
    else:
        async with deps.pool.acquire() as conn:
            await tasks.make_current(conn, task.key)
    return await _again(deps, task)


async def _build(deps: Deps, provider: Provider, task: StoredTask, bundle: bytes) -> StoredTask:
    definition = task.definition
    with in_our_words():
        if definition.docker_image is not None:
            digest = await provider.image_digest(definition.docker_image)
            if digest is None:
                raise Refused(f"the image {definition.docker_image} is not on the engine; pull or load it first")
        else:
            digest = await provider.build_image(
                f"clawbench/task:{definition.digest[:32]}",
                terminal_bench.build_context(bundle),
                timeout_s=definition.build_timeout_s,
                network=True,
            )
        workdir = definition.workdir or await provider.image_workdir(digest) or "/"
    await tasks.built(deps.pool, task.key, digest, workdir)
    return await _again(deps, task)


async def _prove(deps: Deps, hands: Hands, task: StoredTask, bundle: bytes, tell: Tell) -> StoredTask:
    """Score a sandbox in which nothing was done, and one in which the reference solution ran."""
    name, solution = task.definition.task_id, terminal_bench.solution_tree(bundle)
    if not terminal_bench.has_solution(bundle):
        raise Refused("it has no reference solution (solution/solve.sh), so nothing shows that it can be solved")
    nothing = await _trial(deps, hands, task, None)
    tell(f"{name}: doing nothing scores {nothing:g}")
    reference = await _trial(deps, hands, task, solution)
    tell(f"{name}: the reference solution scores {reference:g}")
    assert task.image_digest is not None
    await tasks.checked(
        deps.pool, task.key, task.image_digest, nothing_reward=nothing, reference_reward=reference, scorer=SCORER
    )
    return await _again(deps, task)


async def _trial(deps: Deps, hands: Hands, task: StoredTask, solution: bytes | None) -> float:
    provider, trial = hands.provider, f"{TRIAL_PREFIX}{uuid4()}"
    scoring = scoring_of(deps.instance, task, f"{trial}-verify")
    sandbox = None
    try:
        async with verifier(hands, scoring) as fresh:
            with in_our_words():
                sandbox = await provider.create(agent_spec(deps.instance, task, trial, ttl_s=_TRIAL_TTL_S))
                if solution is not None:
                    await provider.upload(sandbox, "/", solution)
                    await _solve(provider, sandbox, task)
                await provider.freeze(sandbox)
                workspace = await take_out(hands, sandbox, scoring)
            return (await verify(hands, scoring, workspace, fresh)).reward
    finally:
        if sandbox is not None:
            await provider.destroy(sandbox)


async def _solve(provider: Provider, sandbox: Sandbox, task: StoredTask) -> None:
    definition = task.definition
    spec = ExecSpec(
        op_id="solve",
        argv=("/bin/sh", "-c", _SOLVE),
        env=definition.solution_env,
        timeout_s=definition.agent_timeout_s,
    )
    state = await provider.run(sandbox, spec, wait_s=definition.agent_timeout_s + 30)
    if not isinstance(state, Finished):
        raise Refused("the reference solution did not come to an end")
    if state.outcome is not Outcome.EXITED or state.exit_code != 0:
        tail = await provider.output(sandbox, "solve", "stderr", offset=max(0, state.stderr.kept - 500), limit=500)
        raise Refused(f"the reference solution {state.outcome} {state.exit_code}: {tail.decode(errors='replace')}")


def _judge(task: StoredTask) -> None:
    if task.nothing_reward is None or task.reference_reward is None:
        raise Refused("the task was not tried on its image")
    if task.nothing_reward >= 1:
        raise Refused("doing nothing scores 1: the task is free")
    if task.reference_reward < 1:
        raise Refused(f"the reference solution scores {task.reference_reward:g}, not 1: the task may be impossible")


async def _again(deps: Deps, task: StoredTask) -> StoredTask:
    fresh = await tasks.by_key(deps.pool, task.key)
    assert fresh is not None
    return fresh
