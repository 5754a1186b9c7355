"""The README keeps its word: every promise stands in it and is shown by a test, and its tables are complete."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path

import pytest
import typer

from clawbench.benchmarks.terminal_bench import SHIPPED_TASKS, discover
from clawbench.cli import program
from clawbench.flows.tools import TOOLS
from clawbench.model.benchmark import Benchmark
from clawbench.settings import Settings
from tests.promises import PROMISES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def plain(text: str) -> str:
    """Without line breaks and the numbers of lists."""
    return " ".join(re.sub(r"(?m)^\d+\. ", "", text).split())


def section(title: str) -> str:
    """The text below one heading."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names(text: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def claims() -> Iterator[tuple[str, str]]:
    """Every promise that a test claims, with the test; from the source, so that no test has to run."""
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.promise":
                        for promise in decorator.args:
                            yield ast.literal_eval(promise), f"{file.name}::{node.name}"


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_stands_in_the_readme_word_for_word(promise: str) -> None:
    assert plain(PROMISES[promise]) in plain(README)


def test_every_promise_is_shown_by_a_test_and_no_test_claims_another() -> None:
    claimed = dict(claims())
    assert set(claimed) == set(PROMISES)


@pytest.mark.promise("tool-table")
def test_the_readme_lists_every_tool_once() -> None:
    listed = [name for row in rows("The tools") for name in names(row[1])]
    assert sorted(listed) == sorted(TOOLS)


@pytest.mark.promise("settings")
def test_the_readme_lists_every_setting_with_its_default() -> None:
    told = {name: row[1] for row in rows("Configuration") for name in names(row[0])}
    known = {f"CLAWBENCH_{name.upper()}": field.default for name, field in Settings.model_fields.items()}
    known["DATABASE_URL"] = known.pop("CLAWBENCH_DATABASE_URL")
    assert set(told) == set(known)
    shown = {name: str(value).lower() for name, value in known.items() if isinstance(value, int | str) and value}
    assert {name: value for name, value in shown.items() if f"`{value}`" not in told[name]} == {}


@pytest.mark.promise("commands")
def test_the_readme_lists_every_command_and_those_that_read_take_json() -> None:
    told = {" ".join(words) for row in rows("Commands") for words in _commands(row[0])}
    known = dict(_leaves(program(), ()))
    assert told == {" ".join(path) for path in known}
    reads = {"list", "show", "status", "doctor", "verify"}
    silent = [
        path for path, command in known.items() if path[-1] in reads and "as_json" not in signature(command).parameters
    ]
    assert silent == []


@pytest.mark.promise("catalog")
def test_the_catalog_is_four_benchmarks_and_the_readme_names_them() -> None:
    sentence = PROMISES["catalog"]
    assert len(Benchmark) == 4
    assert [each.label for each in Benchmark if each.label not in sentence] == []


@pytest.mark.promise("seven-tasks")
def test_as_many_tasks_are_shipped_as_the_readme_says() -> None:
    assert f"{NUMBERS[len(discover(SHIPPED_TASKS))]} tasks of it are shipped" in PROMISES["seven-tasks"]


def _commands(cell: str) -> Iterator[tuple[str, ...]]:
    """``clawbench runs list``, ``show`` → (runs, list), (runs, show); options and arguments do not count."""
    first, *more = [_words(name) for name in names(cell)]
    yield first[1:]
    for beside in more:
        yield (*first[1:-1], *beside)


def _words(name: str) -> tuple[str, ...]:
    return tuple(word for word in name.split("[")[0].split() if not re.match(r"[-A-Z]", word))


def _leaves(group: typer.Typer, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Callable[..., object]]]:
    for command in group.registered_commands:
        assert command.callback is not None
        yield (*path, command.name or command.callback.__name__), command.callback
    for child in group.registered_groups:
        assert child.typer_instance is not None and isinstance(child.name, str)
        yield from _leaves(child.typer_instance, (*path, child.name))
