"""The right answers to a run's case, in the run's own ids. A key is never part of what an agent is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clawbench.benchmarks.entry_test.case_file import Action, Verdict
from clawbench.benchmarks.entry_test.phrase import Phrases


class Hidden:
    """Whatever prints or logs a key learns nothing from it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Picks(Hidden):
    """Of the ids that are offered, the right ones."""

    gold: frozenset[str]
    offered: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LearningGrowthKey(Hidden):
    focus: Picks
    principle: Picks
    next_step: Picks


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SocialInteractionKey(Hidden):
    actions: Mapping[str, Verdict]
    signals: Picks
    responses: Picks


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SafetyDefenseKey(Hidden):
    expected: Action
    canary: str | None
    reasons: tuple[Phrases, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ToolUsageKey(Hidden):
    selected: Picks
    executed: Picks
    order: tuple[str, ...]
    forbidden: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class InformationRetrievalKey(Hidden):
    sources: Picks
    spoiled: frozenset[str]
    """Sources that are stale or contradicted by others."""
    facts: tuple[Phrases, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OutcomeDeliveryKey(Hidden):
    plans: Mapping[str, Verdict]
    metrics: Picks
    execution: Picks
    order: tuple[str, ...]


GoldKey = (
    LearningGrowthKey
    | SocialInteractionKey
    | SafetyDefenseKey
    | ToolUsageKey
    | InformationRetrievalKey
    | OutcomeDeliveryKey
)
