"""The people of this installation, for admins: who is here, who is an admin, and the kill switch of an account."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clawbench.door import deps_of, read_form
from clawbench.errors import InvalidArguments, NotFound, Refused
from clawbench.flows.revoke_access import Ended, revoke_access
from clawbench.store.users import User, people, set_admin, take_admin, user_with_id
from clawbench.web.pages import page, page_route, redirect
from clawbench.web.session import check_form, require_admin

_AT_MOST = 200
_PATH = "/admin/people"

log = structlog.get_logger()


def routes() -> list[Route]:
    """List people, make them admins or not, and end their access."""
    return [
        page_route(_PATH, listed, methods=["GET"]),
        page_route(_PATH, changed, methods=["POST"]),
    ]


async def listed(request: Request) -> Response:
    """Everybody, or those whose name holds what was asked for."""
    await require_admin(request, fresh=True)
    return await _people_page(request)


async def changed(request: Request) -> Response:
    """Give or take the admin role, or end all that acts for a person."""
    admin = await require_admin(request, fresh=True)
    fields = await read_form(request)
    await check_form(request, fields)
    pool, do = deps_of(request).pool, fields.get("do")
    try:
        user = await user_with_id(pool, UUID(fields.get("id", "")))
    except ValueError:
        user = None
    if user is None:
        raise NotFound("there is no such person", hint="Reload the page.")
    ended: Ended | None = None
    try:
        match do:
            case "make-admin":
                await set_admin(pool, user.id, admin=True)
            case "take-admin":
                await take_admin(pool, user.id)
            case "revoke":
                ended = await revoke_access(pool, user.id)
            case _:
                raise InvalidArguments("the form does not say what to do")
    except Refused as refusal:
        return await _people_page(request, problem=refusal.message, status=refusal.status)
    log.info("people.changed", did=do, user=str(user.id), by=str(admin.id))
    if ended is not None and user.id != admin.id:
        return await _people_page(request, revoked=user, ended=ended)
    return redirect("/account" if user.id == admin.id and do != "make-admin" else _PATH)


async def _people_page(
    request: Request,
    *,
    problem: str | None = None,
    revoked: User | None = None,
    ended: Ended | None = None,
    status: int = 200,
) -> Response:
    named = request.query_params.get("named", "").strip().replace("\0", "")
    found = await people(deps_of(request).pool, named=named, limit=_AT_MOST)
    return await page(
        request,
        "people.html",
        status=status,
        people=found,
        named=named,
        at_most=_AT_MOST,
        problem=problem,
        revoked=revoked,
        ended=None if ended is None else asdict(ended),
    )
