"""Scoring in a place the agent never touched: a fresh sandbox, its files, and only then the tests."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import AsyncGenerator

from clawbench.benchmarks import terminal_bench
from clawbench.errors import OutcomeUnknown, Refused, Unavailable
from clawbench.flows.workspace import lay_out
from clawbench.hands import Hands, in_our_words
from clawbench.model.work import Kept, Scoring, Verified, Workspace
from sandbox_providers.contract import ExecSpec, Finished, Outcome, Provider, Sandbox, Stream
from sandbox_providers.errors import FileRefused, SandboxError

SCORER = "terminal-bench/1"
"""Changes whenever the same workspace could score differently."""

_TESTS = "exec bash /tests/test.sh"
_LOGS = "/logs/verifier"
_REWARD_LIMIT = 64 * 1024
_OUTPUT_LIMIT = 1024 * 1024
_STREAMS: tuple[Stream, ...] = ("stdout", "stderr")
_PATIENCE_S = 30.0


@contextlib.asynccontextmanager
async def verifier(hands: Hands, scoring: Scoring) -> AsyncGenerator[asyncio.Task[Sandbox]]:
    """A fresh sandbox, which is being made while the body still takes the work out, and ends with the body."""
    making = asyncio.create_task(hands.provider.create(scoring.verifier))
    try:
        yield making
    finally:
        with contextlib.suppress(SandboxError):  # the sweep destroys what this could not
            await hands.provider.destroy(await making)


async def verify(hands: Hands, scoring: Scoring, workspace: Workspace, in_sandbox: asyncio.Task[Sandbox]) -> Verified:
    """Run the task's tests on the workspace, in a sandbox where nothing else was done.

    Raises:
        RewardInvalid: the tests left no usable reward.
        Refused: the tests did not come to an end.
        Unavailable: the engine or the verifier's sandbox failed; it can be tried again.
    """
    provider, bundle = hands.provider, await hands.blobs.get(scoring.bundle_sha256)
    try:
        with in_our_words():
            sandbox = await asyncio.shield(in_sandbox)
            await _clear(provider, sandbox, scoring.carried)
            await lay_out(hands, sandbox, workspace)
            await provider.upload(sandbox, "/", terminal_bench.tests_tree(bundle))
            ending = await _run(provider, sandbox, "tests", _TESTS, scoring.timeout_s)
            if ending.outcome is not Outcome.EXITED:
                raise Refused(f"the task's tests did not come to an end: {ending.outcome.replace('_', ' ')}")
            reward = terminal_bench.parse_reward(
                await _file(provider, sandbox, "reward.json"), await _file(provider, sandbox, "reward.txt")
            )
            kept = [await _printed(hands, sandbox, stream) for stream in _STREAMS]
        return Verified(
            reward=reward.value,
            scorer=SCORER,
            details=dict(reward.details),
            kept=tuple(kept),
            observed=dict(sandbox.observed),
        )
    except OutcomeUnknown as error:
        raise Unavailable(f"the verifier's sandbox was lost: {error.message}") from error


async def _clear(provider: Provider, sandbox: Sandbox, carried: tuple[str, ...]) -> None:
    """Empty the carried paths of the fresh image, so that what the agent deleted stays deleted."""
    paths = " ".join(shlex.quote(path) for path in carried)
    script = (
        f"mkdir -p {_LOGS} && for tree in {paths}; do "
        'if [ -d "$tree" ]; then find "$tree" -mindepth 1 -delete || exit 1; fi; done'
    )
    ending = await _run(provider, sandbox, "clear", script, _PATIENCE_S)
    if ending.exit_code != 0:
        raise Refused(f"the image's own files could not be cleared for the verifier: exit {ending.exit_code}")


async def _run(provider: Provider, sandbox: Sandbox, op_id: str, script: str, timeout_s: float) -> Finished:
    spec = ExecSpec(op_id=op_id, argv=("/bin/sh", "-c", script), timeout_s=timeout_s)
    state = await provider.run(sandbox, spec, wait_s=timeout_s + _PATIENCE_S)
    if not isinstance(state, Finished):
        raise Unavailable(f"the verifier's sandbox did not answer: {state}")
    return state


async def _file(provider: Provider, sandbox: Sandbox, name: str) -> bytes | None:
    try:
        return await provider.read(sandbox, f"{_LOGS}/{name}", limit=_REWARD_LIMIT + 1)
    except FileRefused:
        return None


async def _printed(hands: Hands, sandbox: Sandbox, stream: Stream) -> Kept:
    content = await hands.provider.output(sandbox, "tests", stream, offset=0, limit=_OUTPUT_LIMIT)
    return await hands.keep(f"verifier/{stream}.txt", content, "text/plain; charset=utf-8")
