"""The shape of a case file (TOML), one model per dimension. What a shape cannot say stands in ``rules``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from clawbench.benchmarks.entry_test.dimension import Dimension, Pool
from clawbench.benchmarks.entry_test.wording import Value


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _day(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


Slug = Annotated[str, Field(pattern=r"^[a-z0-9-]{3,48}$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{1,63}$")]
Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Wordings = Annotated[tuple[Text, ...], BeforeValidator(_several), Field(min_length=1, max_length=12)]
"""One wording, or several of which the seed chooses one."""
Day = Annotated[str, BeforeValidator(_day), Field(min_length=1, max_length=40)]
SlotValue = StrictStr | StrictInt | StrictFloat


class Verdict(StrEnum):
    BEST = "best"
    ACCEPTABLE = "acceptable"
    POOR = "poor"
    HARMFUL = "harmful"


class Action(StrEnum):
    """What can be done with a request in ``safety_defense``."""

    REFUSE = "refuse"
    ESCALATE = "escalate"
    ALLOW = "allow"


class Standing(StrEnum):
    """What a source is worth for the question."""

    GOLD = "gold"
    BESIDE = "beside"
    STALE = "stale"
    CONTRADICTED = "contradicted"


class Part(BaseModel):
    """A table of a case file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Option(Part):
    """Something to pick; ``key`` is its name in the file and never leaves it."""

    key: Slug
    text: Wordings


class GoldOption(Option):
    gold: bool = False


class ActionOption(Option):
    verdict: Verdict


class PlanOption(Option):
    verdict: Literal[Verdict.BEST, Verdict.ACCEPTABLE, Verdict.POOR]


class ExecutionOption(GoldOption):
    step: Annotated[int, Field(ge=1)] | None = None
    """The place of a gold option in the order in which they have to be done."""


class PhraseGroup(Part):
    """One thing that an answer has to say, and the phrases that count as saying it."""

    what: Text
    any: Annotated[tuple[Text, ...], Field(min_length=1)]
    not_after: tuple[Text, ...] = ()


class Tool(Part):
    name: Name
    description: Wordings
    forbidden: bool = False


class Source(Part):
    id: Annotated[str, Field(pattern=r"^S[1-9][0-9]?$")]
    title: Wordings
    date: Day
    text: Wordings
    standing: Standing


class CaseFile(Part):
    """What the cases of all dimensions have."""

    dimension: ClassVar[Dimension]
    id: Slug
    pool: Pool
    reviewed: Annotated[str, BeforeValidator(_day), Field(pattern=r"^\d{4}-\d\d-\d\d$")] | None = None
    scenario: Wordings
    variants: Mapping[str, tuple[SlotValue, ...]] = Field(default_factory=dict[str, tuple[SlotValue, ...]])
    aligned: tuple[Mapping[str, SlotValue], ...] = ()

    def option_lists(self) -> Mapping[str, Sequence[Option]]:
        """The lists of options, under the names that they have in the payload."""
        return {}

    def shown(self) -> Iterator[tuple[str, Wordings]]:
        """Every text that an agent may read, and where it stands."""
        yield "scenario", self.scenario
        for name, options in self.option_lists().items():
            for option in options:
                yield f"{name} {option.key}", option.text

    def phrase_groups(self) -> tuple[str, Sequence[PhraseGroup]]:
        """The list of what an answer has to say, and its name in the file."""
        return "", ()

    def aligned_rows(self) -> tuple[Mapping[str, Value], ...]:
        """The rows of which one is chosen as a whole; one empty row where there are none."""
        return self.aligned or ({},)


class LearningGrowth(CaseFile):
    dimension = Dimension.LEARNING_GROWTH
    focus_options: tuple[GoldOption, ...]
    principle_options: tuple[GoldOption, ...]
    next_step_options: tuple[GoldOption, ...]

    def option_lists(self) -> Mapping[str, Sequence[GoldOption]]:
        return {
            "focus_options": self.focus_options,
            "principle_options": self.principle_options,
            "next_step_options": self.next_step_options,
        }


class SocialInteraction(CaseFile):
    dimension = Dimension.SOCIAL_INTERACTION
    action_options: tuple[ActionOption, ...]
    signal_options: tuple[GoldOption, ...]
    response_options: tuple[GoldOption, ...]

    def option_lists(self) -> Mapping[str, Sequence[Option]]:
        return {
            "action_options": self.action_options,
            "signal_options": self.signal_options,
            "response_options": self.response_options,
        }


class SafetyDefense(CaseFile):
    dimension = Dimension.SAFETY_DEFENSE
    expected: Action
    canary: Text | None = None
    """What the scenario asks to give away, and an answer must not contain."""
    reasons: tuple[PhraseGroup, ...]

    def phrase_groups(self) -> tuple[str, Sequence[PhraseGroup]]:
        return "reasons", self.reasons


class ToolUsage(CaseFile):
    dimension = Dimension.TOOL_USAGE
    tools: tuple[Tool, ...]
    selected: tuple[str, ...]
    executed: tuple[str, ...]

    def shown(self) -> Iterator[tuple[str, Wordings]]:
        yield from super().shown()
        for tool in self.tools:
            yield f"tools {tool.name}", tool.description


class InformationRetrieval(CaseFile):
    dimension = Dimension.INFORMATION_RETRIEVAL
    question: Wordings
    sources: tuple[Source, ...]
    facts: tuple[PhraseGroup, ...]

    def shown(self) -> Iterator[tuple[str, Wordings]]:
        yield from super().shown()
        yield "question", self.question
        for source in self.sources:
            yield f"sources {source.id} title", source.title
            yield f"sources {source.id} date", (source.date,)
            yield f"sources {source.id} text", source.text

    def phrase_groups(self) -> tuple[str, Sequence[PhraseGroup]]:
        return "facts", self.facts


class OutcomeDelivery(CaseFile):
    dimension = Dimension.OUTCOME_DELIVERY
    plan_options: tuple[PlanOption, ...]
    metric_options: tuple[GoldOption, ...]
    execution_options: tuple[ExecutionOption, ...]

    def option_lists(self) -> Mapping[str, Sequence[Option]]:
        return {
            "plan_options": self.plan_options,
            "metric_options": self.metric_options,
            "execution_options": self.execution_options,
        }


AnyCase = LearningGrowth | SocialInteraction | SafetyDefense | ToolUsage | InformationRetrieval | OutcomeDelivery

SHAPES: Mapping[Dimension, type[AnyCase]] = MappingProxyType(
    {
        shape.dimension: shape
        for shape in (
            LearningGrowth,
            SocialInteraction,
            SafetyDefense,
            ToolUsage,
            InformationRetrieval,
            OutcomeDelivery,
        )
    }
)
