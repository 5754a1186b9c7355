"""The public trace: built from an allow-list of facts, never by deleting from the private one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from clawbench.model.event import Event, EventKind

_TOLD: Mapping[EventKind, frozenset[str]] = {
    EventKind.RUN_CREATED: frozenset({"benchmark", "task_id", "task_digest", "mode"}),
    EventKind.RUN_STARTED: frozenset(),
    EventKind.CALL_ACCEPTED: frozenset({"tool"}),
    EventKind.CALL_ANSWERED: frozenset({"is_error", "outcome"}),
    EventKind.LOOKED: frozenset({"tool"}),
    EventKind.FINALIZING: frozenset({"by"}),
    EventKind.FROZEN: frozenset(),
    EventKind.VERIFIED: frozenset({"score", "passed", "scorer"}),
    EventKind.RUN_FINISHED: frozenset({"status"}),
}
_TOLD_OF_ANSWER = frozenset({"exit_code", "outcome", "duration_s", "truncated"})

SECRETS: Mapping[str, re.Pattern[str]] = {
    "an access token": re.compile(r"\bcb[krtw]_[A-Za-z0-9_-]{16,}"),
    "a bearer header": re.compile(r"(?i)\bbearer\s+[A-Za-z0-9._~+/-]{16,}"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a vendor's API key": re.compile(r"\b(?:sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16})\b"),
}


def public_trace(events: Iterable[Event]) -> list[dict[str, Any]]:
    """What anybody may read: the order, times and outcomes, and the hashes that tie them to the evidence."""
    return [_public(event) for event in events]


def _public(event: Event) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(event.payload)
    told = {key: payload[key] for key in _TOLD[event.kind] if key in payload}
    answer: object = payload.get("answer")
    if event.kind is EventKind.CALL_ANSWERED and isinstance(answer, dict):
        told["answer"] = {key: answer[key] for key in _TOLD_OF_ANSWER if key in answer}
    return {"seq": event.seq, "at": event.at, "kind": event.kind, "sha256": event.sha256, **told}


def leaks(text: str) -> tuple[str, ...]:
    """Names of the secret patterns that the text holds."""
    return tuple(name for name, pattern in SECRETS.items() if pattern.search(text))
