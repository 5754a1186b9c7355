"""What is wrong with a case file, in words that its author can act on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clawbench.errors import ClawBenchError


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong within a case, and what to do about it."""

    where: str
    what: str
    do: str


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A problem and the file that has it."""

    file: str
    problem: Problem

    def __str__(self) -> str:
        return f"{self.file}: {self.problem.where}: {self.problem.what}; {self.problem.do}"


class BankInvalid(ClawBenchError):
    """The case bank has files that cannot be used."""

    code = "bank_invalid"
    status = 500
    hint = "clawbench bench lint lists every finding."

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(map(str, self.findings)))
