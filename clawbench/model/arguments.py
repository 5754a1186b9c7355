"""The arguments of every tool, as pydantic models: where an agent's JSON becomes typed."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from clawbench.model.benchmark import Benchmark
from clawbench.model.canonical import canonical

LARGEST_FILE = 1024 * 1024
"""Characters of a file that one ``write_file`` may carry."""


def _small(metadata: dict[str, Any]) -> dict[str, Any]:
    if len(canonical(metadata)) > 8192:
        raise ValueError("metadata may take 8192 characters of JSON")
    return metadata


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("NUL is not allowed here")
    return text


def _no_nul_if_given(text: str | None) -> str | None:
    return None if text is None else _no_nul(text)


RunId = Annotated[UUID, Field(description="The run, from start_run.")]
CallId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9._:-]{1,128}$",
        description="Your own id for this call, new for every new call. Sending the same call again with the "
        "same id is safe: it runs once and gets the same answer.",
    ),
]
Path = Annotated[
    str,
    Field(min_length=1, max_length=4096, description="Absolute, or relative to the task's working directory."),
    AfterValidator(_no_nul),
]


class Arguments(BaseModel):
    """No unknown names: a misspelt argument is told, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoArguments(Arguments):
    pass


class OfRun(Arguments):
    run_id: RunId


class ActsInRun(OfRun):
    client_call_id: CallId


class ListTasks(Arguments):
    benchmark: Annotated[Benchmark | None, Field(description="Only this benchmark's tasks.")] = None


class ListRuns(Arguments):
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class StartRun(Arguments):
    benchmark: Benchmark
    task_id: Annotated[
        str | None,
        Field(max_length=64, description="From list_tasks; left out, one you have tried least is chosen."),
        AfterValidator(_no_nul_if_given),
    ] = None
    form: Annotated[str | None, Field(max_length=64, description="Only for benchmarks that have forms.")] = None
    metadata: Annotated[
        dict[str, Any],
        AfterValidator(_small),
        Field(description="Yours: model id, batch label … Kept with the run, never shown as its name."),
    ] = {}
    priority: Annotated[
        int, Field(ge=-100, le=100, description="Which of your own runs goes first when several wait: the higher.")
    ] = 0
    client_call_id: CallId


class RunCommand(ActsInRun):
    command: Annotated[
        str,
        Field(min_length=1, max_length=131_072, description="A shell command line (bash where the image has it)."),
        AfterValidator(_no_nul),
    ]
    timeout_s: Annotated[float, Field(gt=0, le=600, description="The command is killed after this long.")] = 120
    cwd: Annotated[Path | None, Field(description="Where to run it; left out: the working directory.")] = None


class PollCommand(OfRun):
    command_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$", description="The command's client_call_id.")]
    stream: Literal["stdout", "stderr"] = "stdout"
    offset: Annotated[int, Field(ge=0, description="Byte of the stream to read from.")] = 0
    max_bytes: Annotated[int, Field(ge=1, le=30_000)] = 30_000
    wait_s: Annotated[float, Field(ge=0, le=20, description="Wait up to this long for the command to end.")] = 0


class ReadFile(OfRun):
    path: Path
    offset: Annotated[int, Field(ge=0, description="Byte to read from.")] = 0
    max_bytes: Annotated[int, Field(ge=1, le=30_000)] = 30_000


class WriteFile(ActsInRun):
    path: Path
    content: Annotated[str, Field(max_length=LARGEST_FILE)]


class EditFile(ActsInRun):
    path: Path
    old: Annotated[str, Field(min_length=1, max_length=LARGEST_FILE, description="Must occur exactly once.")]
    new: Annotated[str, Field(max_length=LARGEST_FILE)]


class ListFiles(OfRun):
    path: Path = "."


class CancelCall(ActsInRun):
    call_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$", description="The client_call_id to cancel.")]


class CancelRun(ActsInRun):
    reason: Annotated[str, Field(max_length=500), AfterValidator(_no_nul)] = "cancelled by the agent"


class Submit(ActsInRun):
    answer: Annotated[
        str, Field(max_length=LARGEST_FILE, description="Your final answer, for tasks that ask for one in words.")
    ] = ""
