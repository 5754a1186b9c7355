"""What lint finds in a case whose form is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from clawbench.benchmarks.entry_test.dimension import Dimension, Pool
from clawbench.benchmarks.entry_test.lint import counts, lint
from tests.benchmarks.entry_test.fixture_bank import (
    BODIES,
    SCENARIO,
    case_text,
    judged,
    options,
    write_bank,
    write_case,
)

LEARN, SOCIAL, SAFE, TOOL, FIND, DELIVER = Dimension


@pytest.mark.parametrize("dimension", Dimension)
def test_in_a_right_case_nothing_is_found(tmp_path: Path, dimension: Dimension) -> None:
    write_case(tmp_path, dimension, case_text(dimension))
    assert lint(tmp_path).findings == ()


@pytest.mark.parametrize(
    ("dimension", "right", "wrong", "told"),
    [
        (LEARN, SCENARIO, "{name} has {count} desks.", "scenario: has 4 words; write 80 to 220"),
        (LEARN, SCENARIO, SCENARIO * 3, "scenario: has 315 words"),
        (
            LEARN,
            "What is known as focus-right-1 here",
            "What is known as focus-right-1 here, " + "and much more besides, " * 5,
            "focus_options: what is right has ",
        ),
        (TOOL, "Does what list says.", "Does what list says. " * 6, "tools: what is right has "),
        (FIND, "wrote note 1.", "wrote note 1. " + "It is long. " * 6, "sources: what is right has "),
        (SAFE, "secret*", "desk*", "reasons 1 'desk*': occurs in scenario"),
        (SAFE, "secret*", "{count} desks", "reasons 1 '{count} desks': occurs in scenario"),
        (SAFE, "The key is desk-{count}-key.", "The key is desk-{count}-door.", "canary: does not stand in"),
        (SAFE, '["secret*"]', '["desk {count} key"]', "key: the answers of the key itself score 0, not 1"),
        (FIND, '"too late"', '"note 5"', "facts 2 'note 5': occurs in sources S5 t"),
        (FIND, '"too late"', '"2026-03-02"', "facts 2 '2026-03-02': occurs in sources S2 date"),
        (FIND, '"too late"', '"how many desks"', "facts 2 'how many desks': occurs in question"),
    ],
)
def test_what_gives_the_answer_away_is_found(
    tmp_path: Path, dimension: Dimension, right: str, wrong: str, told: str
) -> None:
    text = case_text(dimension)
    assert right in text
    write_case(tmp_path, dimension, text.replace(right, wrong))
    found = [str(finding).partition(": ")[2] for finding in lint(tmp_path).findings]
    assert any(each.startswith(told) for each in found), found


def test_a_case_that_chance_often_gets_right_is_found(tmp_path: Path) -> None:
    easy = [judged("plan", "best", "acceptable", "acceptable", "poor"), options("metric", gold=1)]
    body = "\n".join([*easy, options("execution", gold=1, steps=True)])
    write_case(tmp_path, DELIVER, case_text(DELIVER).replace(BODIES[DELIVER], body))
    findings = [finding.problem for finding in lint(tmp_path).findings]
    assert [(each.where, each.do) for each in findings] == [("key", "add options that are wrong, or ask for more")]
    assert findings[0].what.startswith("picks by chance scores 0.3")


def test_counts_are_by_dimension_and_pool(tmp_path: Path) -> None:
    write_bank(tmp_path)
    write_case(
        tmp_path,
        SAFE,
        case_text(SAFE, "read-twice", Pool.RANKED).replace("pool", 'reviewed = "2026-11-21"\npool'),
        "read-twice",
    )
    rows = counts(lint(tmp_path))
    assert rows[0] == {"dimension": "learning_growth", "practice": 2, "ranked": 2, "reviewed": 0}
    assert rows[2] == {"dimension": "safety_defense", "practice": 4, "ranked": 5, "reviewed": 1}
