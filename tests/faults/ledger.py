"""What the agents sent and were told: the campaign's own account, kept outside of everything that breaks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class Sent:
    """One call as an agent knows it."""

    run_id: str | None
    """None for ``start_run``."""
    call_id: str
    tool: str
    arguments: dict[str, Any]
    token: str
    told: dict[str, bool] = field(default_factory=dict[str, bool])
    """Every different recorded answer that came back, byte for byte, and whether it was an error."""
    refused: set[str] = field(default_factory=set[str])
    """Codes with which a delivery was turned away."""
    deliveries: int = 0


@dataclass(slots=True, kw_only=True)
class Ledger:
    """All of it, and the faults that were injected meanwhile."""

    sent: dict[tuple[str, str], Sent] = field(default_factory=dict[tuple[str, str], Sent])
    """By run and call id; a ``start_run`` is found under its token."""
    faults: Counter[str] = field(default_factory=Counter[str])
    killed: set[str] = field(default_factory=set[str])
    """Runs whose own sandbox was killed by the campaign."""
    effects: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    """Lines of a sandbox's own effect file, by run, where it was read from outside."""
    rewards: dict[str, float] = field(default_factory=dict[str, float])
    """What the tests of a run must find, by run."""
    files: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """What must stand in files of a run in the end, by run and name."""
    ends: Counter[str] = field(default_factory=Counter[str])
    """How the runs ended, and what is not known of them."""
    violations: list[str] = field(default_factory=list[str])

    def new(self, token: str, tool: str, run_id: str | None, call_id: str, arguments: dict[str, Any]) -> Sent:
        """A call that is going to be sent."""
        sent = Sent(run_id=run_id, call_id=call_id, tool=tool, arguments=arguments, token=token)
        self.sent[run_id or token, call_id] = sent
        return sent

    def wrong(self, what: str) -> None:
        """Something that must never be."""
        self.violations.append(what)
