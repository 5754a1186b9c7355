"""``clawbench bench lint``, as an author of cases uses it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from clawbench.benchmarks.entry_test.dimension import Dimension
from clawbench.cli import main
from tests.benchmarks.entry_test.fixture_bank import case_text, write_bank, write_case


def lint(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """The command's exit code."""
    monkeypatch.setattr(sys, "argv", ["clawbench", "bench", "lint", *arguments])
    try:
        main()
    except SystemExit as end:
        return end.code or 0
    return 0


def test_it_counts_the_cases_where_nothing_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bank(tmp_path)
    assert lint(monkeypatch, str(tmp_path)) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["dimension", "practice", "ranked", "reviewed"]
    assert lines[3] == ["safety_defense", "4", "4", "0"]
    assert lint(monkeypatch, str(tmp_path), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["findings"] == []
    assert told["cases"][5] == {"dimension": "outcome_delivery", "practice": 2, "ranked": 2, "reviewed": 0}


def test_it_prints_a_line_for_each_finding_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = (
        case_text(Dimension.TOOL_USAGE).replace('executed = ["list"', 'executed = ["sort"').replace("practice", "other")
    )
    file = write_case(tmp_path, Dimension.TOOL_USAGE, wrong)
    assert lint(monkeypatch, str(file)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "tool_usage/first-case.toml: pool: Input should be 'practice' or 'ranked', not 'other'; correct it"
    ]
    file.write_text(wrong.replace("other", "practice"))
    assert lint(monkeypatch, str(file)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "tool_usage/first-case.toml: executed: sort is not selected; select what has to be executed"
    ]
    assert lint(monkeypatch, str(file), "--json") == 1
    assert len(json.loads(capsys.readouterr().out)["findings"]) == 1


def test_a_path_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lint(monkeypatch, "/nowhere") == 2
    assert "/nowhere" in capsys.readouterr().err
