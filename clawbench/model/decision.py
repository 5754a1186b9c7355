"""A person's decision about a program that wants to act for them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Nobody has decided yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """The person said no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """The person lets the client act as this agent."""

    user_id: UUID
    agent_id: UUID
    agent_name: str
