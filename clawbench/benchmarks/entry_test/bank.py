"""The case bank: one TOML file per case, in a folder per dimension; read whole, with every finding at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from clawbench.benchmarks.entry_test.case_file import SHAPES, AnyCase
from clawbench.benchmarks.entry_test.dimension import Dimension, Pool
from clawbench.benchmarks.entry_test.finding import BankInvalid, Finding, Problem
from clawbench.benchmarks.entry_test.rules import problems_of

SHIPPED_CASES = Path(__file__).parent / "cases"
"""The bank that comes with ClawBench."""


@dataclass(frozen=True, slots=True)
class Bank:
    """The cases by id."""

    cases: Mapping[str, AnyCase]

    def of(self, dimension: Dimension, pool: Pool) -> tuple[AnyCase, ...]:
        """The cases of one dimension that runs of one pool may show, by id."""
        found = (case for case in self.cases.values() if case.dimension is dimension and case.pool is pool)
        return tuple(sorted(found, key=lambda case: case.id))


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found at a path: the cases whose shape is right, by file, and what is wrong."""

    cases: Mapping[str, AnyCase]
    findings: tuple[Finding, ...]


def load_bank(directory: Path = SHIPPED_CASES) -> Bank:
    """The bank below this directory.

    Raises:
        BankInvalid: with every file, place, and what to do.
    """
    reading = read_cases(directory)
    if reading.findings:
        raise BankInvalid(reading.findings)
    return Bank({case.id: case for case in reading.cases.values()})


def read_cases(path: Path) -> Reading:
    """Read one case file, the folder of a dimension, or a whole bank."""
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    cases: dict[str, AnyCase] = {}
    findings: list[Finding] = []
    first: dict[str, str] = {}
    for file in files:
        if file.is_dir():
            continue
        file = file.resolve()
        name = f"{file.parent.name}/{file.name}"
        case = _read(file)
        if isinstance(case, list):
            findings += (Finding(name, problem) for problem in case)
            continue
        cases[name] = case
        findings += (Finding(name, problem) for problem in problems_of(case))
        if case.id != file.stem:
            findings.append(Finding(name, Problem("id", f"{case.id!r} is not the file's name", "make them the same")))
        if (other := first.setdefault(case.id, name)) != name:
            findings.append(Finding(name, Problem("id", f"{other} has it, too", "rename one of the two")))
    if not cases and not findings:
        findings.append(Finding(path.name, Problem("path", "no case is here", "name a case, or a folder of them")))
    return Reading(cases, tuple(sorted(findings)))


def _read(file: Path) -> AnyCase | list[Problem]:
    if file.suffix != ".toml":
        return [Problem("file", "is not a .toml file", "keep only cases in the bank")]
    if file.parent.name not in set(Dimension):
        return [Problem("file", "is not in a dimension's folder", f"use one of {', '.join(Dimension)}")]
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return [Problem("file", f"not TOML: {error}", "correct it")]
    try:
        return SHAPES[Dimension(file.parent.name)].model_validate(written)
    except ValidationError as error:
        return list(_shape_problems(error))


def _shape_problems(error: ValidationError) -> Iterator[Problem]:
    for each in error.errors():
        where = ".".join(map(str, each["loc"])) or "file"
        match each["type"]:
            case "missing":
                yield Problem(where, "is missing", "add it")
            case "extra_forbidden":
                yield Problem(where, "is not a key of this dimension's cases", "take it out or correct its name")
            case _:
                yield Problem(where, f"{each['msg']}, not {each['input']!r:.80}", "correct it")
