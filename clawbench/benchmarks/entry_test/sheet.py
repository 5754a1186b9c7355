"""Answer sheets of those who know everything and of those who read nothing: what a scoring has to tell apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass
from typing import assert_never

from clawbench.benchmarks.entry_test.case_file import Action, Verdict
from clawbench.benchmarks.entry_test.gold_key import (
    GoldKey,
    InformationRetrievalKey,
    LearningGrowthKey,
    OutcomeDeliveryKey,
    SafetyDefenseKey,
    SocialInteractionKey,
    ToolUsageKey,
)
from clawbench.benchmarks.entry_test.payload import (
    InformationRetrievalPayload,
    LearningGrowthPayload,
    Options,
    OutcomeDeliveryPayload,
    PublicPayload,
    SafetyDefensePayload,
    SocialInteractionPayload,
    ToolUsagePayload,
)
from clawbench.benchmarks.entry_test.phrase import Phrases
from clawbench.benchmarks.entry_test.sampling import Mulberry32

Sheet = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The fields of an artifact and what can be put into them, as far as the payload tells."""

    many: Mapping[str, Sequence[str]]
    """Fields that take any number of ids, and the ids."""
    one: tuple[str, Sequence[str]] | None = None
    """The field that takes one of some values."""
    text: str | None = None
    """The field that takes a text."""

    @property
    def fields(self) -> tuple[str, ...]:
        return (*self.many, *(self.one[:1] if self.one else ()), *((self.text,) if self.text else ()))

    def filled(self, many: Mapping[str, Sequence[str]], choice: str | None, text: str) -> Sheet:
        sheet: dict[str, object] = {field: list(ids) for field, ids in many.items()}
        if self.one:
            sheet[self.one[0]] = choice
        if self.text:
            sheet[self.text] = text
        return sheet


def form_of(payload: PublicPayload) -> Form:
    """What an artifact for this payload looks like."""
    match payload:
        case LearningGrowthPayload():
            return Form(
                many={
                    "focus_ids": _ids(payload.focus_options),
                    "principle_ids": _ids(payload.principle_options),
                    "next_step_ids": _ids(payload.next_step_options),
                }
            )
        case SocialInteractionPayload():
            return Form(
                one=("primary_action", _ids(payload.action_options)),
                many={"signal_ids": _ids(payload.signal_options), "response_ids": _ids(payload.response_options)},
            )
        case SafetyDefensePayload():
            return Form(one=("action", tuple(Action)), many={}, text="response_text")
        case ToolUsagePayload():
            names = tuple(tool.name for tool in payload.tools)
            return Form(many={"selected_tools": names, "executed_tools": names})
        case InformationRetrievalPayload():
            ids = tuple(source.id for source in payload.sources)
            return Form(many={"selected_source_ids": ids, "cited_source_ids": ids}, text="answer_text")
        case OutcomeDeliveryPayload():
            return Form(
                one=("primary_plan", _ids(payload.plan_options)),
                many={"metric_ids": _ids(payload.metric_options), "execution_ids": _ids(payload.execution_options)},
            )
        case _:
            assert_never(payload)


def reference(key: GoldKey) -> Sheet:
    """The sheet that has everything right."""
    match key:
        case LearningGrowthKey():
            return {
                "focus_ids": sorted(key.focus.gold),
                "principle_ids": sorted(key.principle.gold),
                "next_step_ids": sorted(key.next_step.gold),
            }
        case SocialInteractionKey():
            return {
                "primary_action": _best(key.actions),
                "signal_ids": sorted(key.signals.gold),
                "response_ids": sorted(key.responses.gold),
            }
        case SafetyDefenseKey():
            return {"action": key.expected.value, "response_text": _saying(key.reasons)}
        case ToolUsageKey():
            return {"selected_tools": sorted(key.selected.gold), "executed_tools": list(key.order)}
        case InformationRetrievalKey():
            gold = sorted(key.sources.gold)
            return {"selected_source_ids": gold, "cited_source_ids": gold, "answer_text": _saying(key.facts)}
        case OutcomeDeliveryKey():
            return {
                "primary_plan": _best(key.plans),
                "metric_ids": sorted(key.metrics.gold),
                "execution_ids": list(key.order),
            }
        case _:
            assert_never(key)


def empty(payload: PublicPayload) -> Sheet:
    """Every field is there and has nothing in it."""
    form = form_of(payload)
    return form.filled(dict.fromkeys(form.many, ()), None, "")


def all_null(payload: PublicPayload) -> Sheet:
    return dict.fromkeys(form_of(payload).fields)


def everything(payload: PublicPayload) -> Iterator[Sheet]:
    """All ids picked; one sheet for each value of the field that takes only one."""
    form = form_of(payload)
    for choice in form.one[1] if form.one else (None,):
        yield form.filled(form.many, choice, "")


def echo(payload: PublicPayload) -> Iterator[Sheet]:
    """All ids picked, and the whole prompt as the text; one sheet for each value of the field that takes only one."""
    form = form_of(payload)
    for choice in form.one[1] if form.one else (None,):
        yield form.filled(form.many, choice, prompt_of(payload))


def at_random(payload: PublicPayload, chance: Mulberry32) -> Sheet:
    """A coin for each id, any one of the values, and words of the prompt in any order."""
    form = form_of(payload)
    many = {field: chance.shuffled([each for each in ids if chance.below(2)]) for field, ids in form.many.items()}
    choice = chance.choice(form.one[1]) if form.one else None
    words = prompt_of(payload).split() if form.text else ()
    return form.filled(many, choice, " ".join(chance.choice(words) for _ in words[:50]))


def longest(payload: PublicPayload, key: GoldKey) -> Sheet:
    """As many ids as are right, those with the longest texts, for who goes by the look of a list."""
    form, right, lengths = form_of(payload), reference(key), _lengths(payload)

    def ranked(ids: Sequence[str]) -> list[str]:
        return sorted(ids, key=lambda each: lengths.get(each, 0), reverse=True)

    many = {field: ranked(ids)[: _size(right[field])] for field, ids in form.many.items()}
    return form.filled(many, ranked(form.one[1])[0] if form.one else None, "")


def prompt_of(payload: PublicPayload) -> str:
    """All text that the payload has."""
    return "\n".join(_texts(asdict(payload)))


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():  # pyright: ignore[reportUnknownVariableType]
                yield from _texts(each)  # pyright: ignore[reportUnknownArgumentType]
        case list() | tuple():
            for each in value:  # pyright: ignore[reportUnknownVariableType]
                yield from _texts(each)  # pyright: ignore[reportUnknownArgumentType]
        case _:
            raise TypeError(f"a payload holds no {type(value).__name__}")


def _lengths(payload: PublicPayload) -> Mapping[str, int]:
    """How long the text of each id is."""
    match payload:
        case LearningGrowthPayload():
            options = (*payload.focus_options, *payload.principle_options, *payload.next_step_options)
        case SocialInteractionPayload():
            options = (*payload.action_options, *payload.signal_options, *payload.response_options)
        case SafetyDefensePayload():
            options = ()
        case ToolUsagePayload():
            return {tool.name: len(tool.description) for tool in payload.tools}
        case InformationRetrievalPayload():
            return {source.id: len(source.text) for source in payload.sources}
        case OutcomeDeliveryPayload():
            options = (*payload.plan_options, *payload.metric_options, *payload.execution_options)
        case _:
            assert_never(payload)
    return {option.id: len(option.text) for option in options}


def _size(picked: object) -> int:
    return len(picked) if isinstance(picked, Sized) else 0


def _ids(options: Options) -> tuple[str, ...]:
    return tuple(option.id for option in options)


def _best(verdicts: Mapping[str, Verdict]) -> str:
    return next(option for option, verdict in verdicts.items() if verdict is Verdict.BEST)


def _saying(groups: Sequence[Phrases]) -> str:
    return ". ".join(group.any[0].removesuffix("*") for group in groups)
