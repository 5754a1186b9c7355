"""J and the order of steps, whatever is picked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawbench.benchmarks.entry_test.agreement import agreement, in_common, in_order

OFFERED = frozenset("abcdefgh")
IDS = st.sets(st.sampled_from("abcdefghxyz"))
GOLD = st.sets(st.sampled_from("abcdefgh"), min_size=1, max_size=6)


@given(IDS, GOLD)
def test_agreement_is_from_0_to_1(picks: set[str], gold: set[str]) -> None:
    assert 0 <= agreement(picks, gold, OFFERED) <= 1


@given(GOLD)
def test_exactly_the_right_ones_are_1_and_nothing_and_everything_are_0(gold: set[str]) -> None:
    assert agreement(gold, gold, OFFERED) == 1
    assert agreement(set(), gold, OFFERED) == 0
    assert agreement(OFFERED, gold, OFFERED) == 0
    assert agreement(OFFERED | {"x", "y"}, gold, OFFERED) == 0


@given(IDS, GOLD, st.sampled_from("abcdefghxyz"))
def test_a_right_pick_more_never_lowers_and_a_wrong_one_never_raises(
    picks: set[str], gold: set[str], more: str
) -> None:
    before, after = agreement(picks, gold, OFFERED), agreement(picks | {more}, gold, OFFERED)
    assert after >= before if more in gold else after <= before


@given(IDS, GOLD)
def test_only_the_exact_picks_are_1(picks: set[str], gold: set[str]) -> None:
    assert (agreement(picks, gold, OFFERED) == 1) == (picks == gold)


def test_agreement_by_hand() -> None:
    gold, offered = {"a", "b"}, set("abcdef")
    assert agreement({"a"}, gold, offered) == 0.5
    assert agreement({"a", "b", "c"}, gold, offered) == 0.75
    assert agreement({"a", "c"}, gold, offered) == 0.25
    assert agreement({"a", "b", "unknown"}, gold, offered) == 0.75
    assert agreement({"c"}, gold, offered) == 0


def test_where_nothing_is_wrong_an_unknown_id_still_costs() -> None:
    assert agreement({"a", "x"}, {"a"}, {"a"}) == 0


STEPS = st.lists(st.sampled_from("abcdx"), max_size=8)


@given(STEPS)
def test_the_order_counts_no_more_than_there_is(done: list[str]) -> None:
    assert 0 <= in_common(done, "abcd") <= min(len(done), 4)
    assert 0 < in_order(done, "abcd") <= 1
    assert in_common(done, done) == len(done)


def test_the_order_by_hand() -> None:
    assert in_common("acbd", "abcd") == 3
    assert in_common("dcba", "abcd") == 1
    assert in_common("xaxbx", "abc") == 2
    assert in_order("abc", "abc") == 1
    assert in_order("ac", "abc") == 1
    assert in_order("cba", "abc") == 1 / 3
    assert in_order("xbxa", "abc") == 1 / 2
    assert in_order("abab", "ab") == 1, "doing it again is no new step"
    assert in_order("baab", "ab") == 1 / 2, "the first time counts"
    assert in_order("", "abc") == 1
