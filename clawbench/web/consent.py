"""The consent page: a person whose browser a program sent here decides what it may do, and as which agent."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from clawbench.door import deps_of, read_form
from clawbench.errors import InvalidArguments, NotFound, Refused
from clawbench.model.redirect import answered, redirect_of
from clawbench.store.authorizations import (
    Authorization,
    approve_authorization,
    deny_authorization,
    undecided_authorization,
)
from clawbench.store.users import User
from clawbench.web.approval import choices, chosen_agent
from clawbench.web.pages import HEADERS, page, page_route
from clawbench.web.session import check_form, require_user

_TOO_LATE = "this sign-in has expired or was already decided"
_START_AGAIN = "Start the sign-in again in the program where you began it."


def routes() -> list[Route]:
    """Show what a program asks for, and take the decision about it."""
    return [
        page_route("/consent", consent_form, methods=["GET"]),
        page_route("/consent", decided, methods=["POST"]),
    ]


async def consent_form(request: Request) -> Response:
    """Show who asks for what."""
    user = await require_user(request)
    asked = request.query_params.get("request", "")
    return await _consent_page(request, user, asked, await _waiting(request, asked))


async def decided(request: Request) -> Response:
    """Approve or deny, and send the person back to the program with the answer."""
    user = await require_user(request)
    fields = await read_form(request)
    await check_form(request, fields)
    asked = fields.get("request", "")
    authorization = await _waiting(request, asked)
    if fields.get("decision") != "approve":
        if not await deny_authorization(deps_of(request).pool, authorization.id, user_id=user.id):
            raise NotFound(_TOO_LATE, hint=_START_AGAIN)
        return _back(request, authorization, error="access_denied", error_description="the person said no")
    try:
        code = await _approve(request, user, authorization, fields)
    except (InvalidArguments, Refused) as fault:
        return await _consent_page(
            request, user, asked, authorization, fields, problem=fault.message, status=fault.status
        )
    return _back(request, authorization, code=code)


async def _approve(request: Request, user: User, authorization: Authorization, fields: Mapping[str, str]) -> str:
    """Choose or make the agent and approve, both or neither; gives the code."""
    async with deps_of(request).pool.acquire() as connection, connection.transaction():
        agent = await chosen_agent(connection, user, fields)
        code = await approve_authorization(connection, authorization.id, user_id=user.id, agent_id=agent.id)
        if code is None:
            raise NotFound(_TOO_LATE, hint=_START_AGAIN)
        return code


async def _waiting(request: Request, asked: str) -> Authorization:
    authorization = await undecided_authorization(deps_of(request).pool, asked)
    if authorization is None:
        raise NotFound(_TOO_LATE, hint=_START_AGAIN)
    return authorization


def _back(request: Request, authorization: Authorization, **told: str) -> Response:
    issuer = deps_of(request).settings.origin
    uri = answered(authorization.redirect_uri, issuer=issuer, state=authorization.state, **told)
    return RedirectResponse(uri, 303, HEADERS)


async def _consent_page(
    request: Request,
    user: User,
    asked: str,
    authorization: Authorization,
    fields: Mapping[str, str] | None = None,
    *,
    problem: str | None = None,
    status: int = 200,
) -> Response:
    redirect = redirect_of(authorization.redirect_uri)
    assert redirect is not None, "only such are registered"
    response = await page(
        request,
        "consent.html",
        status=status,
        client_name=authorization.client_name,
        redirect=redirect,
        asked=asked,
        problem=problem,
        **await choices(request, user, authorization.scopes, fields=fields),
    )
    # Chrome holds a form's action to the policy through redirects as well: the answer must reach the program.
    policy = HEADERS["Content-Security-Policy"]
    response.headers["Content-Security-Policy"] = policy.replace(
        "form-action 'self'", f"form-action 'self' {redirect.csp_source}"
    )
    return response
