"""What every page asks that lets a program act for a person: what it will be able to do, and as which agent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from starlette.requests import Request

from clawbench.door import deps_of
from clawbench.errors import InvalidArguments
from clawbench.model.caller import Scope
from clawbench.store.agents import Agent, agents_of, create_agent
from clawbench.store.db import Connection
from clawbench.store.users import User

IN_WORDS = {
    Scope.READ: "see tasks, your runs and their results",
    Scope.RUN: "start runs that use sandbox time, work in them, and hand them in",
}

NEW_AGENT = "new"


async def choices(
    request: Request,
    user: User,
    scopes: Collection[Scope],
    *,
    proposed: str = "",
    fields: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What ``_abilities.html`` and ``_agent.html`` show; ``fields`` are what the person had sent, if it was refused."""
    agents = await agents_of(deps_of(request).pool, user.id)
    own = next((agent for agent in agents if agent.name.lower() == proposed.lower()), None)
    if own is not None:
        chosen, new_name = str(own.id), ""
    else:
        chosen, new_name = (NEW_AGENT if proposed or not agents else str(agents[0].id)), proposed
    if fields is not None:
        chosen, new_name = fields.get("agent", chosen), fields.get("agent_name", new_name)
    abilities = [IN_WORDS[scope] for scope in Scope if scope in scopes]
    return {"abilities": abilities, "agents": agents, "chosen": chosen, "new_name": new_name}


async def chosen_agent(connection: Connection, user: User, fields: Mapping[str, str], *, proposed: str = "") -> Agent:
    """The agent that the person chose or named.

    Raises:
        InvalidArguments: it is none of theirs, cannot be a name, or two were given: one chosen and one named.
        Refused: the name is taken.
    """
    chosen, name = fields.get("agent", ""), fields.get("agent_name", "").strip()
    if chosen == NEW_AGENT:
        return await create_agent(connection, owner_id=user.id, name=name)
    if name not in ("", proposed):
        raise InvalidArguments("you named a new agent but chose another; choose the new one, or clear the name")
    for agent in await agents_of(connection, user.id):
        if str(agent.id) == chosen:
            return agent
    raise InvalidArguments("choose one of your agents, or name a new one")
