"""How the command line speaks: results on stdout, as a table or as JSON; errors on stderr, with what to do next."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from clawbench.errors import ClawBenchError

if TYPE_CHECKING:  # what few commands need and all would wait for
    from clawbench.deps import Deps
    from clawbench.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where embedded Postgres and artifacts are. Default: var.")
]

_T = TypeVar("_T")


@contextmanager
def told() -> Generator[None]:
    """Say an error of ours in one line, and end with exit code 1."""
    try:
        yield
    except ClawBenchError as error:
        print(f"clawbench: {error.message}\n  {error.what_next}", file=sys.stderr)
        raise SystemExit(1) from None


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run one command's coroutine to its end, on the fast loop."""
    import uvloop

    return uvloop.run(work)


def settings_for(data_dir: Path | None) -> Settings:
    """The environment's settings, with the directory that the command names."""
    from clawbench.settings import Settings

    settings = Settings()
    return settings if data_dir is None else settings.model_copy(update={"data_dir": data_dir})


@asynccontextmanager
async def operator(data_dir: Path | None) -> AsyncGenerator[Deps]:
    """The deps of a command on the host: it joins the running server's Postgres, or starts it for a moment."""
    from clawbench.deps import open_deps

    async with open_deps(settings_for(data_dir)) as deps:
        yield deps


def show_json(value: object) -> None:
    """One JSON document."""
    print(json.dumps(value, indent=2, default=_plain))


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Iterable[str], *, empty: str) -> None:
    """A table of the named columns, or a sentence when there is nothing."""
    from rich.console import Console
    from rich.table import Column, Table

    rows, columns = list(rows), list(columns)
    if not rows:
        print(empty)
        return
    table = Table(*(Column(name, overflow="fold") for name in columns), box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    Console(width=None if sys.stdout.isatty() else 200, markup=False, emoji=False).print(table)


def show_fields(fields: Mapping[str, Any]) -> None:
    """A name and a value per line."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        print(f"{name:<{width}}  {_cell(value)}")


def _cell(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "–"  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(value)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
