"""What counts as saying something."""

from __future__ import annotations

import pytest

from clawbench.benchmarks.entry_test.phrase import Phrases, leaks, normalised


@pytest.mark.parametrize(
    ("phrase", "text", "said"),
    [
        ("spoofed", "The sender is SPOOFED.", True),
        ("spoofed", "unspoofed", False),
        ("phish", "phishing", False),
        ("phish*", "This is Phishing!", True),
        ("phish*", "spearphishing", False),
        ("no authority", "he has no\n  authority here", True),
        ("double-check", "please double\u2011check it", True),
        ("don't", "Don\u2019t", True),
        ("7", "there are 7.", True),
        ("7", "there are 7, not more", True),
        ("7", "17 and 7.5 and 3.7 and 70", False),
        ("1250", "it costs 1,250 euros", True),
        ("1,250", "it costs 1250 euros", True),
        ("1250", "it costs 11,250 euros", False),
        ("12", "lines 12,13", False),
        ("straße", "STRASSE", True),
        ("a.b", "axb", False),
        ("250 mwh", "It saves **250** MWh", True),
        ("12 %", "| share | `12` % |", True),
        ("by tuesday", "_by_ __Tuesday__", True),
        ("snake_case", "in snake_case", True),
        ("23", "2*3", False),
    ],
)
def test_a_phrase_is_found_as_whole_words_however_it_is_written(phrase: str, text: str, said: bool) -> None:
    assert Phrases((phrase,)).in_text(normalised(text)) is said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("it is urgent", True),
        ("it is not urgent", False),
        ("it is not a very urgent", False),
        ("it is not what she thinks, it is urgent", True),
        ("not now. urgent", True),
        ("it is not urgent; but legal says it is urgent", True),
        ("never urgent", False),
        ("cannot be urgent", True),
    ],
)
def test_a_phrase_shortly_after_a_negation_of_the_same_clause_does_not_count(text: str, said: bool) -> None:
    assert Phrases(("urgent",), ("not", "never")).in_text(normalised(text)) is said


def test_any_one_phrase_of_a_group_is_enough() -> None:
    group = Phrases(("one", "two"))
    assert group.in_text("number two")
    assert not group.in_text("number three")


@pytest.mark.parametrize("text", ["it is KX-41-77", "kx4177", "k x 4 1 7 7", "`KX_41_77`.", "K\u2011X 41.77"])
def test_a_secret_is_given_away_also_with_other_punctuation(text: str) -> None:
    assert leaks(text, "kx-41-77")


def test_part_of_a_secret_gives_nothing_away() -> None:
    assert not leaks("it begins with KX-41", "kx-41-77")
