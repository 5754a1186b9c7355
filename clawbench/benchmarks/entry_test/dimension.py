"""The six dimensions, the two pools, and how many cases of each dimension a run has."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

ALGORITHM_VERSION = "entry-six/1"


class Dimension(StrEnum):
    """In the order in which a run presents them."""

    LEARNING_GROWTH = "learning_growth"
    SOCIAL_INTERACTION = "social_interaction"
    SAFETY_DEFENSE = "safety_defense"
    TOOL_USAGE = "tool_usage"
    INFORMATION_RETRIEVAL = "information_retrieval"
    OUTCOME_DELIVERY = "outcome_delivery"


class Pool(StrEnum):
    """Which runs may show a case: never both, so that practising does not give ranked cases away."""

    PRACTICE = "practice"
    RANKED = "ranked"


DEFAULT_COUNTS: Mapping[Dimension, int] = MappingProxyType(dict(zip(Dimension, (1, 1, 3, 2, 2, 1), strict=True)))
