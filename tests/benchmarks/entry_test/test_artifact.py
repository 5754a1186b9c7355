"""What agents hand in."""

from __future__ import annotations

import pytest

from clawbench.benchmarks.entry_test.artifact import (
    ARTIFACTS,
    ArtifactInvalid,
    LearningGrowthArtifact,
    SafetyDefenseArtifact,
    parse_artifact,
)
from clawbench.benchmarks.entry_test.dimension import Dimension


@pytest.mark.parametrize(
    ("dimension", "payload", "field"),
    [
        (Dimension.LEARNING_GROWTH, {"focus_ids": "a"}, "focus_ids"),
        (Dimension.LEARNING_GROWTH, {"focus_ids": ["a", 1]}, "focus_ids.1"),
        (Dimension.LEARNING_GROWTH, {"focus_ids": {"a": 1}}, "focus_ids"),
        (Dimension.LEARNING_GROWTH, {"principle_ids": ["a"] * 65}, "principle_ids"),
        (Dimension.LEARNING_GROWTH, {"next_step_ids": ["a" * 201]}, "next_step_ids.0"),
        (Dimension.LEARNING_GROWTH, {"next_step_ids": ["a\0"]}, "next_step_ids.0"),
        (Dimension.LEARNING_GROWTH, {"focus": ["a"]}, "focus"),
        (Dimension.LEARNING_GROWTH, ["a"], "payload"),
        (Dimension.SOCIAL_INTERACTION, {"primary_action": ["a"]}, "primary_action"),
        (Dimension.SAFETY_DEFENSE, {"action": "deny"}, "action"),
        (Dimension.SAFETY_DEFENSE, {"action": ["refuse", "allow"]}, "action"),
        (Dimension.SAFETY_DEFENSE, {"response_text": 1}, "response_text"),
        (Dimension.SAFETY_DEFENSE, {"response_text": "a" * 20_001}, "response_text"),
        (Dimension.TOOL_USAGE, {"executed_tools": [None]}, "executed_tools.0"),
        (Dimension.INFORMATION_RETRIEVAL, {"answer_text": ["a"]}, "answer_text"),
        (Dimension.INFORMATION_RETRIEVAL, {"answer_text": "\ud800"}, "answer_text"),
        (Dimension.OUTCOME_DELIVERY, {"primary_plan": 1}, "primary_plan"),
    ],
)
def test_a_wrong_shape_is_an_error_that_names_case_and_field(dimension: Dimension, payload: object, field: str) -> None:
    with pytest.raises(ArtifactInvalid) as raised:
        parse_artifact(ARTIFACTS[dimension], "ABCDEFGHIJKL", payload)
    assert raised.value.message.startswith(f"case ABCDEFGHIJKL: {field}: ")
    assert (raised.value.code, raised.value.status) == ("artifact_invalid", 400)


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(ArtifactInvalid, match=r"focus_ids: .*; principle_ids: "):
        parse_artifact(LearningGrowthArtifact, "CASE", {"focus_ids": 1, "principle_ids": 2})


@pytest.mark.parametrize("dimension", Dimension)
def test_a_field_that_is_null_or_absent_is_unanswered(dimension: Dimension) -> None:
    shape = ARTIFACTS[dimension]
    absent = parse_artifact(shape, "CASE", {})
    assert parse_artifact(shape, "CASE", dict.fromkeys(shape.model_fields)) == absent
    assert not any(absent.model_dump().values())


def test_the_action_is_one_of_three() -> None:
    assert parse_artifact(SafetyDefenseArtifact, "CASE", {"action": "escalate"}).action == "escalate"
