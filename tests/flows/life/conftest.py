"""``pytest tests/flows/life --hypothesis-profile=long``: another ten minutes of lives, different every time."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)

settings.register_profile(
    "life",
    max_examples=8,
    stateful_step_count=20,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=_SLOW,
)
settings.register_profile(
    "long",
    max_examples=60,
    stateful_step_count=50,
    database=None,
    deadline=None,
    print_blob=True,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=_SLOW,
)
