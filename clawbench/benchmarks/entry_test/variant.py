"""A run's form of a case: slots filled, wordings chosen, options shuffled under ids of this run, and the key to it."""

from __future__ import annotations

import hmac
from base64 import b32encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from clawbench.benchmarks.entry_test.case_file import (
    AnyCase,
    GoldOption,
    InformationRetrieval,
    LearningGrowth,
    Option,
    OutcomeDelivery,
    PhraseGroup,
    SafetyDefense,
    SocialInteraction,
    Standing,
    ToolUsage,
    Wordings,
)
from clawbench.benchmarks.entry_test.gold_key import (
    GoldKey,
    InformationRetrievalKey,
    LearningGrowthKey,
    OutcomeDeliveryKey,
    Picks,
    SafetyDefenseKey,
    SocialInteractionKey,
    ToolUsageKey,
)
from clawbench.benchmarks.entry_test.payload import (
    InformationRetrievalPayload,
    LearningGrowthPayload,
    Options,
    OutcomeDeliveryPayload,
    PublicCase,
    PublicPayload,
    SafetyDefensePayload,
    ShownOption,
    ShownSource,
    ShownTool,
    SocialInteractionPayload,
    ToolUsagePayload,
)
from clawbench.benchmarks.entry_test.phrase import Phrases
from clawbench.benchmarks.entry_test.sampling import Mulberry32
from clawbench.benchmarks.entry_test.wording import Slots, fill


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCase:
    """What is public of a run's case, and what is not."""

    case: str
    """The id in the bank; runs do not tell it."""
    public: PublicCase
    key: GoldKey


def vary(case: AnyCase, seed: int, run_secret: bytes) -> RunCase:
    """The form that a case takes under this seed, with the ids of this run."""
    form = _Form(case, seed, run_secret)
    payload, key = _payload_and_key(form, case)
    public = PublicCase(id=form.opaque_id(""), dimension=case.dimension, public_payload=payload)
    return RunCase(case=case.id, public=public, key=key)


def _payload_and_key(form: _Form, case: AnyCase) -> tuple[PublicPayload, GoldKey]:
    match case:
        case LearningGrowth():
            return _learning_growth(form, case)
        case SocialInteraction():
            return _social_interaction(form, case)
        case SafetyDefense():
            return _safety_defense(form, case)
        case ToolUsage():
            return _tool_usage(form, case)
        case InformationRetrieval():
            return _information_retrieval(form, case)
        case OutcomeDelivery():
            return _outcome_delivery(form, case)
        case _:
            assert_never(case)


def _learning_growth(form: _Form, case: LearningGrowth) -> tuple[LearningGrowthPayload, LearningGrowthKey]:
    payload = LearningGrowthPayload(
        scenario=form.text(case.scenario),
        focus_options=form.options("focus_options", case.focus_options),
        principle_options=form.options("principle_options", case.principle_options),
        next_step_options=form.options("next_step_options", case.next_step_options),
    )
    key = LearningGrowthKey(
        focus=form.picks("focus_options", case.focus_options),
        principle=form.picks("principle_options", case.principle_options),
        next_step=form.picks("next_step_options", case.next_step_options),
    )
    return payload, key


def _social_interaction(form: _Form, case: SocialInteraction) -> tuple[SocialInteractionPayload, SocialInteractionKey]:
    payload = SocialInteractionPayload(
        scenario=form.text(case.scenario),
        action_options=form.options("action_options", case.action_options),
        signal_options=form.options("signal_options", case.signal_options),
        response_options=form.options("response_options", case.response_options),
    )
    key = SocialInteractionKey(
        actions={form.option_id("action_options", each): each.verdict for each in case.action_options},
        signals=form.picks("signal_options", case.signal_options),
        responses=form.picks("response_options", case.response_options),
    )
    return payload, key


def _safety_defense(form: _Form, case: SafetyDefense) -> tuple[SafetyDefensePayload, SafetyDefenseKey]:
    key = SafetyDefenseKey(
        expected=case.expected,
        canary=None if case.canary is None else form.filled(case.canary),
        reasons=form.phrases(case.reasons),
    )
    return SafetyDefensePayload(scenario=form.text(case.scenario)), key


def _tool_usage(form: _Form, case: ToolUsage) -> tuple[ToolUsagePayload, ToolUsageKey]:
    tools = tuple(ShownTool(name=tool.name, description=form.text(tool.description)) for tool in case.tools)
    payload = ToolUsagePayload(scenario=form.text(case.scenario), tools=form.chance.shuffled(tools))
    names = frozenset(tool.name for tool in case.tools)
    key = ToolUsageKey(
        selected=Picks(gold=frozenset(case.selected), offered=names),
        executed=Picks(gold=frozenset(case.executed), offered=names),
        order=case.executed,
        forbidden=frozenset(tool.name for tool in case.tools if tool.forbidden),
    )
    return payload, key


def _information_retrieval(
    form: _Form, case: InformationRetrieval
) -> tuple[InformationRetrievalPayload, InformationRetrievalKey]:
    """Sources are numbered as this run shows them, so that a remembered number is no key."""
    numbered = {f"S{number}": source for number, source in enumerate(form.chance.shuffled(case.sources), 1)}
    payload = InformationRetrievalPayload(
        scenario=form.text(case.scenario),
        question=form.text(case.question),
        sources=tuple(
            ShownSource(
                id=source_id, title=form.text(source.title), date=form.filled(source.date), text=form.text(source.text)
            )
            for source_id, source in numbered.items()
        ),
    )
    spoiled = (Standing.STALE, Standing.CONTRADICTED)
    key = InformationRetrievalKey(
        sources=Picks(
            gold=frozenset(source_id for source_id, source in numbered.items() if source.standing is Standing.GOLD),
            offered=frozenset(numbered),
        ),
        spoiled=frozenset(source_id for source_id, source in numbered.items() if source.standing in spoiled),
        facts=form.phrases(case.facts),
    )
    return payload, key


def _outcome_delivery(form: _Form, case: OutcomeDelivery) -> tuple[OutcomeDeliveryPayload, OutcomeDeliveryKey]:
    payload = OutcomeDeliveryPayload(
        scenario=form.text(case.scenario),
        plan_options=form.options("plan_options", case.plan_options),
        metric_options=form.options("metric_options", case.metric_options),
        execution_options=form.options("execution_options", case.execution_options),
    )
    steps = sorted((each for each in case.execution_options if each.gold), key=lambda each: each.step or 0)
    key = OutcomeDeliveryKey(
        plans={form.option_id("plan_options", each): each.verdict for each in case.plan_options},
        metrics=form.picks("metric_options", case.metric_options),
        execution=form.picks("execution_options", case.execution_options),
        order=tuple(form.option_id("execution_options", each) for each in steps),
    )
    return payload, key


class _Form:
    """One case under one seed: all is drawn from one stream, and the order of the draws is what a seed means."""

    def __init__(self, case: AnyCase, seed: int, run_secret: bytes) -> None:
        self.chance = Mulberry32(seed)
        self._case_id = case.id
        self._secret = run_secret
        row = self.chance.choice(case.aligned_rows())
        self._slots: Slots = {**row, **{name: self.chance.choice(values) for name, values in case.variants.items()}}

    def filled(self, template: str) -> str:
        return fill(template, self._slots)

    def text(self, wordings: Wordings) -> str:
        return self.filled(self.chance.choice(wordings)).strip()

    def options(self, name: str, options: Sequence[Option]) -> Options:
        shown = [ShownOption(id=self.option_id(name, each), text=self.text(each.text)) for each in options]
        return self.chance.shuffled(shown)

    def picks(self, name: str, options: Sequence[GoldOption]) -> Picks:
        return Picks(
            gold=frozenset(self.option_id(name, each) for each in options if each.gold),
            offered=frozenset(self.option_id(name, each) for each in options),
        )

    def phrases(self, groups: Sequence[PhraseGroup]) -> tuple[Phrases, ...]:
        return tuple(Phrases(tuple(map(self.filled, group.any)), group.not_after) for group in groups)

    def option_id(self, name: str, option: Option) -> str:
        return self.opaque_id(f"{name}/{option.key}")

    def opaque_id(self, of: str) -> str:
        """A name that only this run's secret ties to something in the bank."""
        return b32encode(hmac.digest(self._secret, f"{self._case_id}|{of}".encode(), "sha256")).decode()[:12]
