"""Where a server or a worker can be made to die: named places in the real code, reached by wrapping it from outside.

The shipped package knows nothing of this. A test server wraps the functions named here and, when the campaign has
put a point's name into the server's arming file, sends itself SIGKILL or SIGSTOP on reaching it, once.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

AsyncFunction = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Seen:
    """One call of a wrapped function: its arguments by name, and what it returned (None before)."""

    arguments: Mapping[str, Any]
    result: Any = None


def _always(seen: Seen) -> bool:
    del seen
    return True


def _spec(prefix: str) -> Callable[[Seen], bool]:
    return lambda seen: str(seen.arguments["spec"].id).startswith(prefix)


def _sandbox(prefix: str) -> Callable[[Seen], bool]:
    return lambda seen: str(seen.arguments["sandbox"].id).startswith(prefix)


def _fresh(seen: Seen) -> bool:
    return type(seen.result).__name__ == "Fresh" and seen.arguments["tool"] != "start_run"


def _got(seen: Seen) -> bool:
    return bool(seen.result)


def _answered(seen: Seen) -> bool:
    return bool(seen.result) and seen.arguments["outcome"] == "answered"


@dataclass(frozen=True, slots=True)
class Point:
    """Die before or after this function, when it is called as ``of`` says."""

    target: str
    """``module:function`` or ``module:Class.method``, as it is looked up when the code runs."""
    when: Literal["before", "after"]
    of: Callable[[Seen], bool] = _always


_PROVIDER = "sandbox_providers.docker.provider:DockerProvider"
_DESK = "clawbench.flows.desk:PostgresDesk"

WRAPPED: Mapping[str, Point] = {
    # a call
    "before_claim": Point("clawbench.store.calls:claim", "before"),
    "inside_start": Point("clawbench.flows.start_run:_new_run", "after"),
    "after_start_claim": Point("clawbench.flows.tool_call:claim_start", "after"),
    "after_claim": Point("clawbench.store.calls:claim", "after", _fresh),
    "after_dispatch": Point("clawbench.flows.perform:_act", "before"),
    "after_create": Point(f"{_PROVIDER}.create", "after", _spec("cb-")),
    "after_write": Point(f"{_PROVIDER}.write", "after"),
    "while_reading": Point("clawbench.flows.command:_kept", "before"),
    "after_effect": Point(f"{_DESK}.worked", "before"),
    "after_started": Point("clawbench.flows.run_views:started", "after"),
    "after_record": Point("clawbench.store.calls:record", "after", _answered),
    "before_answer": Point("clawbench.flows.tool_call:_await_answer", "after"),
    # the end of a run
    "after_begin_finalizing": Point("clawbench.store.runs:begin_finalizing", "after", _got),
    "after_cancelled": Point("clawbench.store.runs:end_unscored", "after", _got),
    "after_finalize_lease": Point("clawbench.store.runs:take_finalizing", "after", _got),
    "after_freeze": Point(f"{_PROVIDER}.freeze", "after"),
    "after_take_out": Point("clawbench.flows.finalize:take_out", "after"),
    "after_taken_out": Point(f"{_DESK}.taken_out", "after"),
    "after_verifier": Point(f"{_PROVIDER}.create", "after", _spec("cbv-")),
    "before_reward": Point("clawbench.flows.verify:_file", "before"),
    "before_import": Point(f"{_DESK}.scored", "before"),
    "inside_import": Point("clawbench.store.scores:insert", "after"),
    "after_import": Point("clawbench.flows.desk:import_score", "after"),
    "before_destroy": Point(f"{_PROVIDER}.destroy", "before", _sandbox("cb-")),
}
_REPORTS: Mapping[str, Point] = {
    # a worker elsewhere and its server
    "before_report": Point("clawbench.remote_desk:RemoteDesk.worked", "before"),
    "after_report": Point("clawbench.remote_desk:RemoteDesk.worked", "after"),
    "after_upload": Point("clawbench.remote_desk:RemoteBlobs.put", "after"),
    "before_score_report": Point("clawbench.remote_desk:RemoteDesk.scored", "before"),
    "after_score_report": Point("clawbench.remote_desk:RemoteDesk.scored", "after"),
}
IN_THE_SANDBOX = ("after_engine_start", "mid_output")
"""Reached while a command runs: it was started and no result was read; it has printed and goes on."""

POINTS = (*WRAPPED, *IN_THE_SANDBOX)
_ALSO_A_WORKERS = ("after_dispatch", "after_create", "after_write", "while_reading", "after_freeze", "after_take_out")
WORKER_POINTS = (*_REPORTS, *_ALSO_A_WORKERS, "after_verifier", "before_reward", "before_destroy", *IN_THE_SANDBOX)
TARGETS = {**WRAPPED, **_REPORTS}


@dataclass(frozen=True, slots=True)
class Switch:
    """The arming file: the point at which this process is to get a signal, and which."""

    file: Path

    def armed(self, name: str) -> bool:
        try:
            return self.file.read_text().split()[0] == name
        except FileNotFoundError:
            return False

    def reached(self, name: str) -> None:
        """Die here, or stop, if this point is armed; the file tells the campaign that it was."""
        if self.armed(name):
            fired = self.file.rename(self.file.with_suffix(".fired"))
            os.kill(os.getpid(), signal.Signals[fired.read_text().split()[1]])


def install(switch: Switch) -> None:
    """Wrap every named function of this process."""
    by_target: dict[str, list[tuple[str, Point]]] = {}
    for name, point in TARGETS.items():
        by_target.setdefault(point.target, []).append((name, point))
    for target, points in by_target.items():
        owner, attribute = found(target)
        setattr(owner, attribute, _wrapped(getattr(owner, attribute), points, switch))
    _watch_starts(switch)
    _watch_output(switch)


def found(target: str) -> tuple[Any, str]:
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, attribute = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, attribute


def _wrapped(original: AsyncFunction, points: list[tuple[str, Point]], switch: Switch) -> AsyncFunction:
    signature = inspect.signature(original)

    def pass_by(when: str, seen: Seen) -> None:
        for name, point in points:
            if point.when == when and switch.armed(name) and point.of(seen):
                switch.reached(name)

    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        pass_by("before", Seen(bound.arguments))
        result = await original(*args, **kwargs)
        pass_by("after", Seen(bound.arguments, result))
        return result

    return wrapped


def _watch_starts(switch: Switch) -> None:
    """``after_engine_start``: the runner has said that the operation is started, nothing else was read."""
    owner, _ = found("sandbox_providers.runner.channel:Channel.post")
    post, answered = owner.post, owner.answered
    starts = set[int]()

    def posting(self: Any, verb: str, fields: bytes) -> asyncio.Future[Any]:
        answer = post(self, verb, fields)
        if verb == "s":
            starts.add(id(answer))
        return answer

    async def answering(self: Any, answer: asyncio.Future[Any], *, timeout_s: float) -> Any:
        is_start = id(answer) in starts
        starts.discard(id(answer))
        fields = await answered(self, answer, timeout_s=timeout_s)
        if is_start:
            switch.reached("after_engine_start")
        return fields

    owner.post, owner.answered = posting, answering


def _watch_output(switch: Switch) -> None:
    """``mid_output``: the command has printed something and still runs."""
    owner, _ = found(f"{_PROVIDER}.run")
    run = owner.run

    async def until_it_prints(self: Any, sandbox: Any, op_id: str) -> None:
        while True:
            state = await self.wait(sandbox, op_id, timeout_s=0)
            if type(state).__name__ == "Running" and state.stdout.total:
                switch.reached("mid_output")
            if type(state).__name__ not in ("Running", "NeverStarted"):
                return
            await asyncio.sleep(0.02)

    async def running(self: Any, sandbox: Any, spec: Any, *, wait_s: float) -> Any:
        if not switch.armed("mid_output"):
            return await run(self, sandbox, spec, wait_s=wait_s)
        watch = asyncio.create_task(until_it_prints(self, sandbox, spec.op_id))
        try:
            return await run(self, sandbox, spec, wait_s=wait_s)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    owner.run = running
