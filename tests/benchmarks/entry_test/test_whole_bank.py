"""The shipped cases, all of them, over hundreds of runs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import count
from statistics import fmean
from typing import Any, cast

import pytest

from clawbench.benchmarks.entry_test.bank import SHIPPED_CASES, Bank, load_bank
from clawbench.benchmarks.entry_test.case_file import Action, Standing, Verdict
from clawbench.benchmarks.entry_test.dimension import Dimension, Pool
from clawbench.benchmarks.entry_test.draw import draw
from clawbench.benchmarks.entry_test.lint import lint
from clawbench.benchmarks.entry_test.sampling import Mulberry32
from clawbench.benchmarks.entry_test.score import score_case
from clawbench.benchmarks.entry_test.sheet import (
    Sheet,
    all_null,
    at_random,
    echo,
    empty,
    everything,
    longest,
    prompt_of,
    reference,
)
from clawbench.benchmarks.entry_test.variant import RunCase

SEEDS = 500
BOUND = 0.30
SHOWN = {
    Dimension.LEARNING_GROWTH: {"scenario", "focus_options", "principle_options", "next_step_options"},
    Dimension.SOCIAL_INTERACTION: {"scenario", "action_options", "signal_options", "response_options"},
    Dimension.SAFETY_DEFENSE: {"scenario"},
    Dimension.TOOL_USAGE: {"scenario", "tools"},
    Dimension.INFORMATION_RETRIEVAL: {"scenario", "question", "sources"},
    Dimension.OUTCOME_DELIVERY: {"scenario", "plan_options", "metric_options", "execution_options"},
}
OF_AN_ENTRY = {"id", "text", "name", "description", "title", "date"}
OPAQUE = {Dimension.LEARNING_GROWTH, Dimension.SOCIAL_INTERACTION, Dimension.OUTCOME_DELIVERY}


@cache
def bank() -> Bank:
    return load_bank()


@cache
def run(pool: Pool, seed: int) -> tuple[RunCase, ...]:
    return draw(bank(), pool, seed, seed.to_bytes(32, "big"))


def sheets(case: RunCase, other: RunCase, chance: Mulberry32) -> dict[str, Sheet]:
    """What those who read nothing hand in for a case."""
    payload = case.public.public_payload
    repeated = list(echo(payload))
    told: dict[str, Sheet] = {
        "empty": empty(payload),
        "null": all_null(payload),
        "everything": chance.choice(list(everything(payload))),
        "random": at_random(payload, chance),
        "echo": chance.choice(repeated),
        "of another run": reference(other.key),
    }
    if case.public.dimension is Dimension.SAFETY_DEFENSE:
        told |= {f"echo, always {action}": sheet for action, sheet in zip(Action, repeated, strict=True)}
    else:
        told["longest"] = longest(payload, case.key)
    return told


def answered_elsewhere(pool: Pool, seed: int, place: int) -> RunCase:
    """What the next run had in this place; where ids are those of the case, the next that had another case there.

    Tool names, sources and words are right in every run of a case, so that a right answer to it is no sheet of others.
    """
    case = run(pool, seed)[place]
    later = (run(pool, next_seed)[place] for next_seed in count(seed + 1))
    return next(other for other in later if case.public.dimension in OPAQUE or other.case != case.case)


def test_there_is_nothing_to_find() -> None:
    assert lint(SHIPPED_CASES).findings == ()


@pytest.mark.parametrize("pool", Pool)
def test_who_reads_nothing_stays_below_30_per_cent_in_every_dimension_over_500_runs(pool: Pool) -> None:
    scores: dict[tuple[Dimension, str], list[float]] = defaultdict(list)
    for seed in range(SEEDS):
        chance = Mulberry32(seed)
        for place, case in enumerate(run(pool, seed)):
            for name, sheet in sheets(case, answered_elsewhere(pool, seed, place), chance).items():
                scores[case.public.dimension, name].append(score_case(case, sheet).score)
    means = {of: fmean(each) for of, each in scores.items()}
    assert {of: mean for of, mean in means.items() if mean >= BOUND} == {}
    assert all(means[dimension, name] == 0 for dimension in Dimension for name in ("empty", "null"))
    assert all(means[dimension, "of another run"] == 0 for dimension in OPAQUE)


@pytest.mark.parametrize("pool", Pool)
def test_the_key_scores_exactly_1_in_every_run(pool: Pool) -> None:
    for seed in range(SEEDS):
        assert {score_case(case, reference(case.key)).score for case in run(pool, seed)} == {1}


@pytest.mark.parametrize("pool", Pool)
def test_no_payload_holds_anything_of_the_key(pool: Pool) -> None:
    verdicts = {*Verdict, *Standing, *Action, "gold", "forbidden", "true", "True"}
    for seed in range(SEEDS):
        for case in run(pool, seed):
            told = json.loads(json.dumps(case.public.as_dict()))
            assert set(told) == {"id", "dimension", "public_payload"}
            payload = told["public_payload"]
            assert set(payload) == SHOWN[case.public.dimension]
            values, names = set(strings(payload)), set(keys(list(payload.values())))
            assert names <= OF_AN_ENTRY
            authored = bank().cases[case.case]
            hidden = {option.key for options in authored.option_lists().values() for option in options}
            assert not values & (hidden | verdicts)
            assert case.case not in prompt_of(case.public.public_payload)
            assert not any(group.what in text for group in authored.phrase_groups()[1] for text in values)


def strings(told: Any) -> Iterator[str]:
    """Every leaf of a JSON document, which has to be a text."""
    if not isinstance(told, dict | list):
        assert isinstance(told, str)
        yield told
    for each in inside(told):
        yield from strings(each)


def keys(told: Any) -> Iterator[str]:
    """The names in every object of a JSON document."""
    if isinstance(told, dict):
        yield from cast("dict[str, Any]", told)
    for each in inside(told):
        yield from keys(each)


def inside(told: Any) -> list[Any]:
    match told:
        case dict():
            return list(cast("dict[str, Any]", told).values())
        case list():
            return cast("list[Any]", told)
        case _:
            return []


def test_every_dimension_has_twelve_cases_half_of_them_ranked() -> None:
    for dimension in Dimension:
        cases = [case for case in bank().cases.values() if case.dimension is dimension]
        assert len(cases) >= 12
        assert len(bank().of(dimension, Pool.RANKED)) * 2 == len(cases)
