"""The device page: a person types the code a program shows, and decides what it may do, and as which agent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clawbench.door import deps_of, read_form
from clawbench.errors import InvalidArguments, NotFound, Refused
from clawbench.model.client import KNOWN_CLIENTS
from clawbench.model.secret import shown, typed
from clawbench.store.agents import Agent
from clawbench.store.attempts import Limit, count_attempt, take_attempt_back
from clawbench.store.device_codes import DeviceCode, approve_device_code, deny_device_code, undecided_device_code
from clawbench.store.users import User
from clawbench.web.approval import choices, chosen_agent
from clawbench.web.pages import page, page_route
from clawbench.web.session import check_form, require_user

WRONG_CODES = Limit(kind="user_code", tries=20, window=timedelta(minutes=10))

_TOO_LATE = "this code has expired or was already decided"
_START_AGAIN = "Start the sign-in again where you began it."


def routes() -> list[Route]:
    """Show a waiting code, and take the decision about it."""
    return [
        page_route("/device", device_form, methods=["GET"]),
        page_route("/device", decided, methods=["POST"]),
    ]


async def device_form(request: Request) -> Response:
    """Ask for the code, or show what is asked with the code given."""
    user = await require_user(request)
    entered = request.query_params.get("user_code")
    if not entered:
        return await page(request, "device_code.html", problem=None)
    code = await _waiting(request, user, entered)
    if code is None:
        problem = "There is no such code, or it has expired. Check the letters."
        return await page(request, "device_code.html", status=404, problem=problem)
    return await _decision_page(request, user, code)


async def decided(request: Request) -> Response:
    """Approve or deny."""
    user = await require_user(request)
    fields = await read_form(request)
    await check_form(request, fields)
    code = await _waiting(request, user, fields.get("user_code", ""))
    if code is None:
        raise NotFound(_TOO_LATE, hint=_START_AGAIN)
    if fields.get("decision") != "approve":
        await deny_device_code(deps_of(request).pool, code.id, user_id=user.id)
        return await _done(request, code, None)
    try:
        agent = await _approve(request, user, code, fields)
    except (InvalidArguments, Refused) as fault:
        return await _decision_page(request, user, code, fields, problem=fault.message, status=fault.status)
    return await _done(request, code, agent)


async def _approve(request: Request, user: User, code: DeviceCode, fields: Mapping[str, str]) -> Agent:
    """Choose or make the agent and approve, both or neither."""
    async with deps_of(request).pool.acquire() as connection, connection.transaction():
        agent = await chosen_agent(connection, user, fields, proposed=code.proposed_agent_name or "")
        if not await approve_device_code(connection, code.id, user_id=user.id, agent_id=agent.id):
            raise NotFound(_TOO_LATE, hint=_START_AGAIN)
        return agent


async def _waiting(request: Request, user: User, entered: str) -> DeviceCode | None:
    """The code somebody typed; wrong ones are counted before the answer is known."""
    pool, who = deps_of(request).pool, str(user.id)
    await count_attempt(pool, WRONG_CODES, who)
    code = await undecided_device_code(pool, typed(entered))
    if code is not None:
        await take_attempt_back(pool, WRONG_CODES, who)
    return code


async def _decision_page(
    request: Request,
    user: User,
    code: DeviceCode,
    fields: Mapping[str, str] | None = None,
    *,
    problem: str | None = None,
    status: int = 200,
) -> Response:
    return await page(
        request,
        "device.html",
        status=status,
        client_name=KNOWN_CLIENTS[code.client_id].name,
        user_code=shown(code.user_code),
        problem=problem,
        **await choices(request, user, code.scopes, proposed=code.proposed_agent_name or "", fields=fields),
    )


async def _done(request: Request, code: DeviceCode, agent: Agent | None) -> Response:
    return await page(request, "device_done.html", client_name=KNOWN_CLIENTS[code.client_id].name, agent=agent)
