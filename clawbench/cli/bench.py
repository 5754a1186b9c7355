"""``clawbench bench``: the tasks that agents can be given."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from clawbench.benchmarks.entry_test.bank import SHIPPED_CASES
from clawbench.benchmarks.entry_test.lint import counts, lint
from clawbench.benchmarks.terminal_bench import SHIPPED_TASKS, discover
from clawbench.cli.output import DataDir, Json, operator, run, show_fields, show_json, show_rows
from clawbench.errors import ClawBenchError, NotFound
from clawbench.flows.import_tasks import import_task
from clawbench.store import tasks
from clawbench.store.tasks import StoredTask

app = typer.Typer(no_args_is_help=True, help="Benchmarks and their tasks.")


@app.command("list")
def list_tasks(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Every task, ready or refused, and why."""
    rows = run(_rows(data_dir))
    if as_json:
        show_json(rows)
    else:
        columns = ("benchmark", "task_id", "state", "nothing", "reference", "why")
        show_rows(rows, columns, empty="No tasks yet: clawbench bench import")


@app.command("import")
def import_tasks(
    directory: Annotated[
        Path, typer.Argument(help="A task in the Harbor format, or a directory of them. Default: the shipped ones.")
    ] = SHIPPED_TASKS,
    only: Annotated[list[str] | None, typer.Option(help="Only this task; can be given again.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Build each task's image and prove it: doing nothing must score below 1, its solution exactly 1."""
    refused = run(_import(directory, only, data_dir))
    if refused:
        raise SystemExit(1)


@app.command()
def show(task_id: str, data_dir: DataDir = None, as_json: Json = False) -> None:
    """One task: its definition, digests and checks. Its tests and solution are not shown."""
    found = run(_found(task_id, data_dir))
    fields = {**asdict(found.definition), **_row(found), "image_digest": found.image_digest, "workdir": found.workdir}
    if as_json:
        show_json(fields)
    else:
        show_fields(fields)


@app.command("lint")
def lint_cases(
    path: Annotated[
        Path, typer.Argument(exists=True, help="A case of the Entry Test, or a folder of them. Default: the bank.")
    ] = SHIPPED_CASES,
    as_json: Json = False,
) -> None:
    """Check the cases of the ClawBench Entry Test; prints what is wrong where, and what to do."""
    reading = lint(path)
    rows = counts(reading)
    if as_json:
        show_json({"findings": [str(finding) for finding in reading.findings], "cases": rows})
    elif reading.findings:
        print("\n".join(map(str, reading.findings)))
    else:
        show_rows(rows, ("dimension", "practice", "ranked", "reviewed"), empty="")
    if reading.findings:
        raise SystemExit(1)


async def _rows(data_dir: Path | None) -> list[dict[str, Any]]:
    async with operator(data_dir) as deps:
        return [_row(task) for task in await tasks.newest(deps.pool)]


def _row(task: StoredTask) -> dict[str, Any]:
    return {
        "benchmark": task.definition.benchmark,
        "task_id": task.definition.task_id,
        "state": task.state,
        "nothing": task.nothing_reward,
        "reference": task.reference_reward,
        "why": task.why,
    }


async def _import(directory: Path, only: list[str] | None, data_dir: Path | None) -> int:
    refused = 0
    async with operator(data_dir) as deps:
        for each in _chosen(discover(directory), only):
            try:
                task = await import_task(deps, each, print)
            except ClawBenchError as error:
                print(f"{each.name}: {error.message}")
                refused += 1
                continue
            print(f"{task.definition.task_id}: {task.state}{f' ({task.why})' if task.why else ''}")
            refused += task.state != "ready"
    return refused


def _chosen(found: list[Path], only: list[str] | None) -> list[Path]:
    unknown = set(only or ()) - {each.name for each in found}
    if unknown:
        known = ", ".join(each.name for each in found)
        raise NotFound(f"there is no {', '.join(sorted(unknown))} here", hint=f"There are: {known}")
    return [each for each in found if not only or each.name in only]


async def _found(task_id: str, data_dir: Path | None) -> StoredTask:
    async with operator(data_dir) as deps:
        for task in await tasks.newest(deps.pool):
            if task.definition.task_id == task_id:
                return task
    raise NotFound(f"there is no task {task_id}", hint="clawbench bench list shows them.")
