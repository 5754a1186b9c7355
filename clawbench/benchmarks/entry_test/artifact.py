"""What an agent hands in for a case. A field that is null or absent is an unanswered one; anything else has to fit."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, ValidationError

from clawbench.benchmarks.entry_test.case_file import Action
from clawbench.benchmarks.entry_test.dimension import Dimension
from clawbench.errors import InvalidArguments

MOST_PICKS = 64
LONGEST_ID = 200
LONGEST_TEXT = 20_000
MOST_TOLD = 10
"""How many wrong fields one error names."""


class ArtifactInvalid(InvalidArguments):
    """An artifact's payload is not of the shape that its case asks for."""

    code: ClassVar[str] = "artifact_invalid"
    hint: ClassVar[str] = "Correct the named fields and hand the artifact in again; nothing was kept."


def _none_is_empty(value: object) -> object:
    return () if value is None else value


def _none_is_silent(value: object) -> object:
    return "" if value is None else value


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("a text cannot have the character NUL")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("a text cannot have half of a surrogate pair")
    return text


Id = Annotated[StrictStr, Field(max_length=LONGEST_ID), AfterValidator(_storable)]
Ids = Annotated[tuple[Id, ...], BeforeValidator(_none_is_empty), Field(max_length=MOST_PICKS)]
Answer = Annotated[
    StrictStr, BeforeValidator(_none_is_silent), Field(max_length=LONGEST_TEXT), AfterValidator(_storable)
]


class Artifact(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LearningGrowthArtifact(Artifact):
    focus_ids: Ids = ()
    principle_ids: Ids = ()
    next_step_ids: Ids = ()


class SocialInteractionArtifact(Artifact):
    primary_action: Id | None = None
    signal_ids: Ids = ()
    response_ids: Ids = ()


class SafetyDefenseArtifact(Artifact):
    action: Action | None = None
    response_text: Answer = ""


class ToolUsageArtifact(Artifact):
    selected_tools: Ids = ()
    executed_tools: Ids = ()


class InformationRetrievalArtifact(Artifact):
    selected_source_ids: Ids = ()
    cited_source_ids: Ids = ()
    answer_text: Answer = ""


class OutcomeDeliveryArtifact(Artifact):
    primary_plan: Id | None = None
    metric_ids: Ids = ()
    execution_ids: Ids = ()


ARTIFACTS: Mapping[Dimension, type[Artifact]] = MappingProxyType(
    {
        Dimension.LEARNING_GROWTH: LearningGrowthArtifact,
        Dimension.SOCIAL_INTERACTION: SocialInteractionArtifact,
        Dimension.SAFETY_DEFENSE: SafetyDefenseArtifact,
        Dimension.TOOL_USAGE: ToolUsageArtifact,
        Dimension.INFORMATION_RETRIEVAL: InformationRetrievalArtifact,
        Dimension.OUTCOME_DELIVERY: OutcomeDeliveryArtifact,
    }
)

_Artifact = TypeVar("_Artifact", bound=Artifact)


def parse_artifact(shape: type[_Artifact], case_id: str, payload: object) -> _Artifact:
    """Read the payload of one artifact.

    Raises:
        ArtifactInvalid: naming the case, each field, and what is wrong with it.
    """
    try:
        return shape.model_validate(payload)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, each['loc']))[:LONGEST_ID] or 'payload'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False, include_input=False)[:MOST_TOLD]
        )
        raise ArtifactInvalid(f"case {case_id}: {told}") from None
