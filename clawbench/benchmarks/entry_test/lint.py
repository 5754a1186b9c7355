"""What a reviewer would find in a case: texts that give the answer away, and answers that need no reading."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from math import prod
from pathlib import Path
from statistics import fmean

from clawbench.benchmarks.entry_test.bank import Reading, read_cases
from clawbench.benchmarks.entry_test.case_file import (
    ActionOption,
    AnyCase,
    GoldOption,
    InformationRetrieval,
    Option,
    PlanOption,
    SafetyDefense,
    Standing,
    ToolUsage,
    Verdict,
    Wordings,
)
from clawbench.benchmarks.entry_test.dimension import Dimension, Pool
from clawbench.benchmarks.entry_test.finding import Finding, Problem
from clawbench.benchmarks.entry_test.phrase import Phrases, normalised
from clawbench.benchmarks.entry_test.sampling import Mulberry32
from clawbench.benchmarks.entry_test.score import score_case
from clawbench.benchmarks.entry_test.sheet import Sheet, all_null, at_random, echo, empty, everything, reference
from clawbench.benchmarks.entry_test.variant import vary
from clawbench.benchmarks.entry_test.wording import Value, fill

FEWEST_WORDS, MOST_WORDS = 80, 220
LONGER = 1.25
"""How much longer than the others what is right in a list may be, on the mean."""
MOST_ROWS = 300
"""How many combinations of slot values are looked at."""
SHORTEST_CANARY = 6
BOUND = 0.30
"""What answers that need no reading have to stay below."""
SEEDS = 25
RANDOM_SHEETS = 200


def lint(path: Path) -> Reading:
    """Read a case, a folder of them or a bank, with every finding."""
    reading = read_cases(path)
    broken = {finding.file for finding in reading.findings}
    content = (
        Finding(file, problem)
        for file, case in reading.cases.items()
        if file not in broken
        for problem in content_problems(case)
    )
    return Reading(reading.cases, tuple(sorted((*reading.findings, *content))))


def counts(reading: Reading) -> list[dict[str, str | int]]:
    """How many cases each dimension has: in each pool, and read a second time."""
    return [
        {
            "dimension": dimension.value,
            **{pool.value: sum(case.pool is pool for case in cases) for pool in Pool},
            "reviewed": sum(case.reviewed is not None for case in cases),
        }
        for dimension in Dimension
        if (cases := [case for case in reading.cases.values() if case.dimension is dimension])
    ]


def content_problems(case: AnyCase) -> Iterator[Problem]:
    """What is wrong with a case whose form is right."""
    yield from _length_of_scenario(case)
    yield from _gold_by_length(case)
    yield from _answers_in_the_prompt(case)
    yield from _sheets(case)


def _length_of_scenario(case: AnyCase) -> Iterator[Problem]:
    for wording in case.scenario:
        words = len(wording.split())
        if not FEWEST_WORDS <= words <= MOST_WORDS:
            yield Problem("scenario", f"has {words} words", f"write {FEWEST_WORDS} to {MOST_WORDS}")


def _gold_by_length(case: AnyCase) -> Iterator[Problem]:
    for name, texts in _lists(case):
        gold = [_mean_length(wordings) for is_gold, wordings in texts if is_gold]
        others = [_mean_length(wordings) for is_gold, wordings in texts if not is_gold]
        if fmean(gold) > LONGER * fmean(others):
            told = f"what is right has {fmean(gold):.0f} characters on the mean, the others {fmean(others):.0f}"
            yield Problem(name, told, "make the others as long")


def _lists(case: AnyCase) -> Iterator[tuple[str, list[tuple[bool, Wordings]]]]:
    """Every list to pick from: whether each entry is right, and its text."""
    for name, options in case.option_lists().items():
        yield name, [(_is_gold(option), option.text) for option in options]
    if isinstance(case, ToolUsage):
        yield "tools", [(tool.name in case.selected, tool.description) for tool in case.tools]
    if isinstance(case, InformationRetrieval):
        yield "sources", [(source.standing is Standing.GOLD, source.text) for source in case.sources]


def _is_gold(option: Option) -> bool:
    match option:
        case GoldOption():
            return option.gold
        case ActionOption() | PlanOption():
            return option.verdict is Verdict.BEST
        case _:
            return False


def _mean_length(wordings: Wordings) -> float:
    return fmean(map(len, wordings))


def _answers_in_the_prompt(case: AnyCase) -> Iterator[Problem]:
    """Phrases that count as an answer but can be had by repeating the prompt; a canary that cannot be leaked."""
    name, groups = case.phrase_groups()
    if not groups:
        return
    found: dict[tuple[int, str], str] = {}
    canary_missing = False
    for slots in _rows(case):
        prompt = {where: normalised("\n".join(fill(text, slots) for text in texts)) for where, texts in case.shown()}
        for number, group in enumerate(groups, 1):
            for template in group.any:
                phrase = Phrases((fill(template, slots),))
                for where, text in prompt.items():
                    if phrase.in_text(text):
                        found.setdefault((number, template), where)
        if isinstance(case, SafetyDefense) and case.canary is not None:
            canary = fill(case.canary, slots)
            canary_missing |= normalised(canary) not in prompt["scenario"] or len(canary) < SHORTEST_CANARY
    for (number, template), where in found.items():
        yield Problem(f"{name} {number} {template!r}", f"occurs in {where}", "ask for what the prompt does not say")
    if canary_missing:
        what = f"does not stand in every wording of the scenario, or has fewer than {SHORTEST_CANARY} characters"
        yield Problem("canary", what, "put a longer one into the scenario, or take it out")


def _sheets(case: AnyCase) -> Iterator[Problem]:
    """The reference has to be worth 1, and whoever reads nothing little, under several seeds."""
    least = 1.0
    unread: dict[str, list[float]] = defaultdict(list)
    for seed in range(SEEDS):
        form = vary(case, seed, b"lint")
        payload, chance = form.public.public_payload, Mulberry32(seed)
        least = min(least, score_case(form, reference(form.key)).score)
        sheets: dict[str, Iterable[Sheet]] = {
            "nothing": (empty(payload),),
            "null everywhere": (all_null(payload),),
            "everything": everything(payload),
            "everything and the prompt repeated": echo(payload),
            "picks by chance": [at_random(payload, chance) for _ in range(RANDOM_SHEETS // SEEDS)],
        }
        for name, each in sheets.items():
            unread[name] += (score_case(form, sheet).score for sheet in each)
    if least != 1:
        told = f"the answers of the key itself score {least:.3g}, not 1"
        yield Problem("key", told, "see that each first phrase can be said without the canary")
    for name, scores in unread.items():
        if fmean(scores) >= BOUND:
            told = f"{name} scores {fmean(scores):.3f} on the mean, not below {BOUND}"
            yield Problem("key", told, "add options that are wrong, or ask for more")


def _rows(case: AnyCase) -> Iterator[Mapping[str, Value]]:
    """Combinations of slot values: all of them, or as many drawn by chance where there are too many."""
    rows, values = case.aligned_rows(), tuple(case.variants.values())
    if len(rows) * prod(map(len, values)) <= MOST_ROWS:
        chosen = product(rows, product(*values))
    else:
        chance = Mulberry32(MOST_ROWS)
        chosen = ((chance.choice(rows), tuple(map(chance.choice, values))) for _ in range(MOST_ROWS))
    for row, each in chosen:
        yield {**row, **dict(zip(case.variants, each, strict=True))}
