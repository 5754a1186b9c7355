"""Chance that can be repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawbench.benchmarks.entry_test.sampling import Mulberry32, rounded


@pytest.mark.parametrize(
    ("seed", "first"),
    [
        (42, [2581720956, 1925393290, 3661312704, 2876485805]),
        (1, [2693262067, 11749833, 2265367787, 4213581821]),
        (2147483647, [1842962257, 546041740, 1654754255, 1702490205]),
    ],
)
def test_the_stream_is_the_one_of_the_specification(seed: int, first: list[int]) -> None:
    chance = Mulberry32(seed)
    assert [chance.uint32() for _ in first] == first
    again = Mulberry32(seed + 2**32)
    assert [again.fraction() for _ in first] == [each / 2**32 for each in first]


def test_a_shuffle_goes_from_the_end_and_takes_the_place_that_the_fraction_names() -> None:
    # seed 42: .6011 * 4 → 2, .4483 * 3 → 1, .8525 * 2 → 1: abdc, adbc, adbc
    assert Mulberry32(42).shuffled("abcd") == ("a", "d", "b", "c")
    # seed 1: .6271 * 4 → 2, .0027 * 3 → 0, .5275 * 2 → 1: abdc, dbac, dbac
    assert Mulberry32(1).shuffled("abcd") == ("d", "b", "a", "c")


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(), max_size=20))
def test_a_shuffle_has_the_same_values_and_is_the_same_for_the_same_seed(seed: int, values: list[int]) -> None:
    shuffled = Mulberry32(seed).shuffled(values)
    assert sorted(shuffled) == sorted(values)
    assert shuffled == Mulberry32(seed).shuffled(values)


@given(st.integers(0, 2**32 - 1), st.integers(1, 1000))
def test_a_drawn_number_is_within_its_bounds(seed: int, end: int) -> None:
    assert 0 <= Mulberry32(seed).below(end) < end


@pytest.mark.parametrize(("x", "whole"), [(0.5, 1), (1.5, 2), (2.5, 3), (2.4999, 2), (-0.5, 0), (83.3333, 83), (0, 0)])
def test_halves_are_rounded_upwards(x: float, whole: int) -> None:
    assert rounded(x) == whole
