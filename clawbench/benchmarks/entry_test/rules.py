"""What has to hold of a case file so that it can be played and scored; each rule yields what breaks it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from clawbench.benchmarks.entry_test.case_file import (
    ActionOption,
    AnyCase,
    ExecutionOption,
    GoldOption,
    InformationRetrieval,
    LearningGrowth,
    OutcomeDelivery,
    PhraseGroup,
    SafetyDefense,
    SocialInteraction,
    Standing,
    ToolUsage,
    Verdict,
)
from clawbench.benchmarks.entry_test.finding import Problem
from clawbench.benchmarks.entry_test.wording import SLOT_NAME, slots_of

_SOURCE_ID = re.compile(r"\bS[1-9][0-9]?\b")

FEWEST_VALUES = 3
"""A slot with fewer gives too few variants of a case."""


def problems_of(case: AnyCase) -> Iterator[Problem]:
    """Every rule that this case breaks."""
    yield from _slots(case)
    for name, options in case.option_lists().items():
        yield from _unique(name, "key", (option.key for option in options))
    match case:
        case LearningGrowth():
            for name, options in case.option_lists().items():
                yield from _count(name, len(options), 5, 7)
                yield from _count(f"{name}: gold options", sum(option.gold for option in options), 1, 3)
        case SocialInteraction():
            yield from _actions(case.action_options)
            yield from _gold("signal_options", case.signal_options)
            yield from _gold("response_options", case.response_options)
        case SafetyDefense():
            yield from _phrases("reasons", case.reasons)
        case ToolUsage():
            yield from _tools(case)
        case InformationRetrieval():
            yield from _sources(case)
            yield from _phrases("facts", case.facts)
        case OutcomeDelivery():
            verdicts = Counter(option.verdict for option in case.plan_options)
            yield from _count("plan_options", len(case.plan_options), 4, 7)
            yield from _count("plan_options: verdict best", verdicts[Verdict.BEST], 1, 1)
            yield from _count("plan_options: verdict poor", verdicts[Verdict.POOR], 1, len(case.plan_options))
            yield from _gold("metric_options", case.metric_options)
            yield from _gold("execution_options", case.execution_options)
            yield from _steps(case.execution_options)
        case _:
            assert_never(case)


def _slots(case: AnyCase) -> Iterator[Problem]:
    known = set(case.variants)
    rows = case.aligned_rows()
    for name in sorted(known | {name for row in rows for name in row}):
        if not SLOT_NAME.fullmatch(name):
            yield Problem(f"slot {name}", "is not a name", "use a-z, 0-9 and _, a letter first")
    for name, values in case.variants.items():
        if len(set(values)) < max(FEWEST_VALUES, len(values)):
            told = f"{len(set(values))} different values of {len(values)}"
            yield Problem(f"variants.{name}", told, "give at least 3, each once")
    if case.aligned:
        if len(case.aligned) < FEWEST_VALUES:
            yield Problem("aligned", f"{len(case.aligned)} rows", "give at least 3")
        for number, row in enumerate(case.aligned, 1):
            if set(row) != set(rows[0]):
                yield Problem(f"aligned row {number}", "has other names than the first row", "give all rows the same")
        if both := known & set(rows[0]):
            yield Problem("aligned", f"{_listed(both)} stands in [variants], too", "keep it in one of the two")
    known |= set(rows[0])
    if not known:
        yield Problem("variants", "the case has no slot", "vary names or numbers, so that a remembered text is no key")
    used: set[str] = set()
    for where, template in _templates(case):
        try:
            names = slots_of(template)
        except ValueError as error:
            yield Problem(where, str(error), "write {{ and }} for literal braces")
            continue
        used |= names
        if names - known:
            yield Problem(where, f"no values for {_listed(names - known)}", "add them to [variants] or [[aligned]]")
    if known - used:
        yield Problem("variants", f"{_listed(known - used)} is not used in any text", "use it or take it out")


def _templates(case: AnyCase) -> Iterator[tuple[str, str]]:
    for where, wordings in case.shown():
        for wording in wordings:
            yield where, wording
    name, groups = case.phrase_groups()
    for number, group in enumerate(groups, 1):
        for phrase in group.any:
            yield f"{name} {number} any", phrase
    if isinstance(case, SafetyDefense) and case.canary is not None:
        yield "canary", case.canary


def _actions(options: Sequence[ActionOption]) -> Iterator[Problem]:
    verdicts = Counter(option.verdict for option in options)
    yield from _count("action_options", len(options), 5, 6)
    yield from _count("action_options: verdict best", verdicts[Verdict.BEST], 1, 1)
    yield from _count("action_options: verdict acceptable", verdicts[Verdict.ACCEPTABLE], 0, 1)
    yield from _count("action_options: verdict harmful", verdicts[Verdict.HARMFUL], 1, len(options))


def _gold(name: str, options: Sequence[GoldOption]) -> Iterator[Problem]:
    yield from _count(name, len(options), 5, 8)
    yield from _count(f"{name}: gold options", sum(option.gold for option in options), 1, len(options) - 2)


def _steps(options: Sequence[ExecutionOption]) -> Iterator[Problem]:
    steps = sorted(option.step or 0 for option in options if option.gold)
    if steps != list(range(1, len(steps) + 1)):
        yield Problem("execution_options: step", f"the gold options have {steps}", "number them 1, 2, 3 … in order")
    for option in options:
        if option.step is not None and not option.gold:
            yield Problem(f"execution_options {option.key}", "has a step but is not gold", "take the step out")


def _tools(case: ToolUsage) -> Iterator[Problem]:
    names = {tool.name for tool in case.tools}
    forbidden = {tool.name for tool in case.tools if tool.forbidden}
    yield from _unique("tools", "name", (tool.name for tool in case.tools))
    yield from _count("tools", len(case.tools), 7, 10)
    yield from _count("selected", len(case.selected), 3, 5)
    yield from _count("executed", len(case.executed), 1, 5)
    for field, gold in (("selected", case.selected), ("executed", case.executed)):
        yield from _unique(field, "name", gold)
        if set(gold) - names:
            yield Problem(field, f"{_listed(set(gold) - names)} is no tool of this case", "name one from [[tools]]")
        if forbidden & set(gold):
            yield Problem(field, f"{_listed(forbidden & set(gold))} is forbidden", "keep it out of the gold key")
    if set(case.executed) - set(case.selected):
        outside = _listed(set(case.executed) - set(case.selected))
        yield Problem("executed", f"{outside} is not selected", "select what has to be executed")


def _sources(case: InformationRetrieval) -> Iterator[Problem]:
    standings = Counter(source.standing for source in case.sources)
    yield from _unique("sources", "id", (source.id for source in case.sources))
    yield from _count("sources", len(case.sources), 6, 9)
    yield from _count("sources: standing gold", standings[Standing.GOLD], 2, 3)
    spoiled = standings[Standing.STALE] + standings[Standing.CONTRADICTED]
    yield from _count("sources: standing stale or contradicted", spoiled, 1, len(case.sources))
    for where, wordings in case.shown():
        if any(_SOURCE_ID.search(wording) for wording in wordings):
            yield Problem(where, "names a source by its id, which each run gives anew", "name it by its title")


def _phrases(name: str, groups: Sequence[PhraseGroup]) -> Iterator[Problem]:
    yield from _count(name, len(groups), 2, 4)
    for number, group in enumerate(groups, 1):
        for phrase in (*group.any, *group.not_after):
            where = f"{name} {number} {phrase!r}"
            if phrase != " ".join(phrase.casefold().split()):
                yield Problem(where, "is not lower-case with single spaces", "write it as it is compared")
            if "*" in phrase[:-1] or phrase == "*":
                yield Problem(where, "has a * that is not at its end", "a * stands for any ending only")


def _count(where: str, count: int, least: int, most: int) -> Iterator[Problem]:
    if not least <= count <= most:
        allowed = str(least) if least == most else f"{least} to {most}"
        yield Problem(where, f"there are {count}", f"there have to be {allowed}")


def _unique(where: str, what: str, names: Iterable[str]) -> Iterator[Problem]:
    for name, times in Counter(names).items():
        if times > 1:
            yield Problem(where, f"{what} {name!r} stands there {times} times", "give each its own")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
