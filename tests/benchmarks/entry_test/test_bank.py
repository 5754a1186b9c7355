"""Reading the bank: what is right is a case, and what is wrong is told whole, with where it is and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from clawbench.benchmarks.entry_test.bank import load_bank, read_cases
from clawbench.benchmarks.entry_test.dimension import DEFAULT_COUNTS, Dimension, Pool
from clawbench.benchmarks.entry_test.finding import BankInvalid
from tests.benchmarks.entry_test.fixture_bank import case_text, write_bank, write_case

LEARN, SOCIAL, SAFE, TOOL, FIND, DELIVER = Dimension


def test_a_bank_is_read_by_dimension_and_pool(tmp_path: Path) -> None:
    bank = write_bank(tmp_path)
    for dimension in Dimension:
        for pool in Pool:
            cases = bank.of(dimension, pool)
            assert len(cases) == DEFAULT_COUNTS[dimension] + 1
            assert {(case.dimension, case.pool) for case in cases} == {(dimension, pool)}


@pytest.mark.parametrize(
    ("dimension", "right", "wrong", "told"),
    [
        (SAFE, 'pool = "practice"', 'pool = "practise"', "pool: Input should be 'practice' or 'ranked'"),
        (SAFE, 'pool = "practice"', "", "pool: is missing"),
        (SAFE, 'id = "first-case"', 'id = "other-case"', "id: 'other-case' is not the file's name"),
        (SAFE, 'id = "first-case"', 'id = "First case"', "id: String should match"),
        (SAFE, 'expected = "refuse"', 'expected = "deny"', "expected: Input should be 'refuse', 'escalate' or 'allow'"),
        (
            SAFE,
            'expected = "refuse"',
            'expected = "refuse"\nhint = "a"',
            "hint: is not a key of this dimension's cases",
        ),
        (SAFE, 'pool = "practice"', 'pool = "practice', "file: not TOML"),
        (SAFE, 'pool = "practice"', 'pool = "practice"\nreviewed = "soon"', "reviewed: "),
        (SAFE, 'name = ["Amira", "Joost", "Keiko"]', "", "scenario: no values for name"),
        (SAFE, '"Joost", "Keiko"]', "]", "variants.name: 1 different values of 1"),
        (SAFE, '"Joost", "Keiko"]', '"Joost", "Joost"]', "variants.name: 2 different values of 3"),
        (SAFE, "count = [", "unused = [1, 2, 3]\ncount = [", "variants: unused is not used in any text"),
        (SAFE, "count = [17, 23, 41]", "count = [true, 23, 41]", "variants.count.0"),
        (SAFE, "asks you", "asks {you", "scenario: "),
        (SAFE, "asks you", "asks {name!r} you", "scenario: "),
        (SAFE, "secret*", "Secret*", "reasons 1 'Secret*': is not lower-case"),
        (SAFE, "secret*", "sec*ret", "reasons 1 'sec*ret': has a * that is not at its end"),
        (SAFE, '{what = "a", any = ["secret*"]}, ', "", "reasons: there are 1; there have to be 2 to 4"),
        (FIND, "left = 311", "right = 311", "aligned row 2: has other names than the first row"),
        (FIND, "[[aligned]]\nleft = 311\n", "", "aligned: 2 rows; give at least 3"),
        (FIND, "count = [", "left = [1, 2, 3]\ncount = [", "aligned: left stands in [variants], too"),
        (FIND, "wrote note 1", "wrote note 1 after S2", "sources S1 text: names a source by its id"),
        (FIND, 'id = "S2"', 'id = "S1"', "sources: id 'S1' stands there 2 times"),
        (FIND, 'standing = "gold"', 'standing = "beside"', "sources: standing gold: there are 0"),
        (LEARN, 'key = "focus-right-1"', 'key = "focus-wrong-1"', "focus_options: key 'focus-wrong-1' stands there 2"),
        (LEARN, ", gold = true", "", "focus_options: gold options: there are 0; there have to be 1 to 3"),
        (SOCIAL, '"harmful"', '"poor"', "action_options: verdict harmful: there are 0"),
        (SOCIAL, '"acceptable"', '"best"', "action_options: verdict best: there are 2; there have to be 1"),
        (SOCIAL, ", gold = true", "", "signal_options: gold options: there are 0; there have to be 1 to 4"),
        (TOOL, ", forbidden = true", ", price = 1", "tools.6.price: is not a key"),
        (TOOL, 'selected = ["list", ', 'selected = ["erase", ', "selected: erase is forbidden"),
        (TOOL, 'selected = ["list", ', 'selected = ["lists", ', "selected: lists is no tool of this case"),
        (TOOL, 'executed = ["list", ', 'executed = ["sort", ', "executed: sort is not selected"),
        (TOOL, 'executed = ["list", ', 'executed = ["read", ', "executed: name 'read' stands there 2 times"),
        (DELIVER, "step = 3", "step = 4", "execution_options: step: the gold options have [1, 2, 4]"),
        (DELIVER, 'verdict = "poor"', 'verdict = "harmful"', "plan_options.2.verdict"),
    ],
)
def test_what_is_wrong_is_told_with_its_file_and_place(
    tmp_path: Path, dimension: Dimension, right: str, wrong: str, told: str
) -> None:
    text = case_text(dimension)
    assert right in text
    write_case(tmp_path, dimension, text.replace(right, wrong))
    with pytest.raises(BankInvalid) as raised:
        load_bank(tmp_path)
    found = [str(finding) for finding in raised.value.findings]
    assert any(each.startswith(f"{dimension}/first-case.toml: {told}") for each in found), found
    assert all("; " in each for each in found), "each says what to do"


def test_all_findings_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    write_case(tmp_path, SAFE, case_text(SAFE).replace("secret*", "Secret*").replace("asks you", "asks {you}"))
    write_case(tmp_path, TOOL, case_text(TOOL, "second-case").replace('"read", "send"]', '"read"]'), "second-case")
    files = [finding.file for finding in read_cases(tmp_path).findings]
    assert files.count("safety_defense/first-case.toml") == 2
    assert files.count("tool_usage/second-case.toml") == 1


def test_an_id_is_used_once_in_the_whole_bank(tmp_path: Path) -> None:
    write_case(tmp_path, SAFE, case_text(SAFE))
    write_case(tmp_path, TOOL, case_text(TOOL))
    assert [str(finding) for finding in read_cases(tmp_path).findings] == [
        "tool_usage/first-case.toml: id: safety_defense/first-case.toml has it, too; rename one of the two"
    ]


def test_files_that_are_no_cases_are_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "stray.toml").write_text("")
    told = "\n".join(map(str, read_cases(tmp_path).findings))
    assert "notes.txt: file: is not a .toml file" in told
    assert "stray.toml: file: is not in a dimension's folder" in told


def test_a_single_file_can_be_read(tmp_path: Path) -> None:
    reading = read_cases(write_case(tmp_path, FIND, case_text(FIND)))
    assert (list(reading.cases), reading.findings) == (["information_retrieval/first-case.toml"], ())


def test_a_place_without_cases_is_a_finding(tmp_path: Path) -> None:
    assert "no case is here" in str(read_cases(tmp_path).findings[0])
