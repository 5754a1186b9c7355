"""What an agent sees of a case. Nothing here knows which answers are right."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from clawbench.benchmarks.entry_test.dimension import Dimension


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownOption:
    id: str
    """Opaque, and of this run only."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTool:
    name: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSource:
    id: str
    """S1, S2 … in the order in which this run shows them."""
    title: str
    date: str
    text: str


Options = tuple[ShownOption, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    scenario: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningGrowthPayload(Payload):
    focus_options: Options
    principle_options: Options
    next_step_options: Options


@dataclass(frozen=True, slots=True, kw_only=True)
class SocialInteractionPayload(Payload):
    action_options: Options
    signal_options: Options
    response_options: Options


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyDefensePayload(Payload):
    """Nothing but the scenario."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUsagePayload(Payload):
    tools: tuple[ShownTool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InformationRetrievalPayload(Payload):
    question: str
    sources: tuple[ShownSource, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeDeliveryPayload(Payload):
    plan_options: Options
    metric_options: Options
    execution_options: Options


PublicPayload = (
    LearningGrowthPayload
    | SocialInteractionPayload
    | SafetyDefensePayload
    | ToolUsagePayload
    | InformationRetrievalPayload
    | OutcomeDeliveryPayload
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicCase:
    """A case as a run presents it."""

    id: str
    """Opaque, and of this run only: the file's name could give away what the case is about."""
    dimension: Dimension
    public_payload: PublicPayload

    def as_dict(self) -> dict[str, object]:
        """The JSON that agents are sent."""
        return {"id": self.id, "dimension": self.dimension.value, "public_payload": asdict(self.public_payload)}
