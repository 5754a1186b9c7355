"""A run's cases: which they are, under which ids, and that the right answers are in none of them."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b32encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawbench.benchmarks.entry_test.bank import Bank
from clawbench.benchmarks.entry_test.dimension import DEFAULT_COUNTS, Dimension, Pool
from clawbench.benchmarks.entry_test.draw import draw
from clawbench.benchmarks.entry_test.payload import InformationRetrievalPayload, OutcomeDeliveryPayload
from clawbench.benchmarks.entry_test.sheet import prompt_of, reference
from clawbench.benchmarks.entry_test.variant import RunCase
from clawbench.errors import InvalidArguments
from tests.benchmarks.entry_test.fixture_bank import write_bank

SECRET, OTHER = b"s" * 32, b"o" * 32
OPAQUE = re.compile(r"[A-Z2-7]{12}")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return write_bank(tmp_path_factory.mktemp("bank"))


def ids(cases: tuple[RunCase, ...]) -> Iterator[str]:
    """Every opaque id of a run."""
    for case in cases:
        yield case.public.id
        yield from (
            each for each in re.findall(r"\S+", prompt_of(case.public.public_payload)) if OPAQUE.fullmatch(each)
        )


def test_a_run_has_1_1_3_2_2_1_cases_in_the_order_of_the_dimensions_and_none_twice(bank: Bank) -> None:
    assert list(DEFAULT_COUNTS.values()) == [1, 1, 3, 2, 2, 1]
    for seed in range(50):
        cases = draw(bank, Pool.PRACTICE, seed, SECRET)
        assert [case.public.dimension for case in cases] == [
            each for each in Dimension for _ in range(DEFAULT_COUNTS[each])
        ]
        assert len({case.case for case in cases}) == len({case.public.id for case in cases}) == 10


def test_the_same_seed_and_secret_give_the_same_run(bank: Bank) -> None:
    assert draw(bank, Pool.PRACTICE, 7, SECRET) == draw(bank, Pool.PRACTICE, 7, SECRET)


def test_this_seed_always_gave_this_run(bank: Bank) -> None:
    told = repr([case.public.as_dict() for case in draw(bank, Pool.PRACTICE, 42, SECRET)])
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == "bf9fe35f8321d459"


def test_another_seed_gives_other_cases_wordings_and_orders(bank: Bank) -> None:
    runs = [draw(bank, Pool.PRACTICE, seed, SECRET) for seed in range(20)]
    assert len({tuple(case.case for case in run) for run in runs}) > 10
    assert len({run[0].public.public_payload.scenario for run in runs}) > 5


def test_another_secret_gives_no_id_of_the_first(bank: Bank) -> None:
    ours, others = set(ids(draw(bank, Pool.PRACTICE, 7, SECRET))), set(ids(draw(bank, Pool.PRACTICE, 7, OTHER)))
    assert len(ours) == len(others) > 50
    assert not ours & others


def test_an_option_id_is_the_first_twelve_of_its_hmac(bank: Bank) -> None:
    case = draw(bank, Pool.PRACTICE, 7, SECRET)[0]
    made = hmac.digest(SECRET, f"{case.case}|focus_options/focus-right-1".encode(), "sha256")
    gold = reference(case.key)["focus_ids"]
    assert isinstance(gold, list)
    assert b32encode(made).decode()[:12] in gold


def test_no_pool_shows_a_case_of_the_other(bank: Bank) -> None:
    for seed in range(20):
        for pool in Pool:
            assert {bank.cases[case.case].pool for case in draw(bank, pool, seed, SECRET)} == {pool}


def test_counts_can_be_chosen(bank: Bank) -> None:
    counts = {Dimension.TOOL_USAGE: 3, Dimension.LEARNING_GROWTH: 2}
    cases = draw(bank, Pool.RANKED, 1, SECRET, counts)
    assert Counter(case.public.dimension for case in cases) == counts


@pytest.mark.parametrize("count", [0, -1, 5])
def test_a_count_that_cannot_be_had_is_an_error_that_says_how_many_can(bank: Bank, count: int) -> None:
    with pytest.raises(InvalidArguments, match="safety_defense") as raised:
        draw(bank, Pool.PRACTICE, 1, SECRET, {Dimension.SAFETY_DEFENSE: count})
    assert raised.value.what_next == "Ask for 1 to 4 of them."


def test_a_bank_without_cases_gives_no_run(tmp_path: Path) -> None:
    with pytest.raises(InvalidArguments):
        draw(Bank({}), Pool.PRACTICE, 1, SECRET)


def test_sources_are_numbered_as_they_are_shown(bank: Bank) -> None:
    seen: set[tuple[str, ...]] = set()
    for seed in range(20):
        case = draw(bank, Pool.PRACTICE, seed, SECRET, {Dimension.INFORMATION_RETRIEVAL: 1})[0]
        payload = case.public.public_payload
        assert isinstance(payload, InformationRetrievalPayload)
        assert [each.id for each in payload.sources] == [f"S{n}" for n in range(1, 7)]
        seen.add(tuple(each.title for each in payload.sources))
    assert len(seen) > 10


def test_every_place_in_a_list_is_as_likely_the_right_one(bank: Bank) -> None:
    places: Counter[int] = Counter()
    for seed in range(600):
        case = draw(bank, Pool.PRACTICE, seed, SECRET, {Dimension.OUTCOME_DELIVERY: 1})[0]
        payload = case.public.public_payload
        assert isinstance(payload, OutcomeDeliveryPayload)
        best = reference(case.key)["primary_plan"]
        places.update(place for place, each in enumerate(payload.plan_options) if each.id == best)
    assert len(places) == 5
    assert all(80 < count < 160 for count in places.values())
