"""The gate, for admins in a browser: what waits, what each gate said, and the admin's own word with a reason."""

from __future__ import annotations

from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clawbench.deps import Deps
from clawbench.door import read_form
from clawbench.errors import ClawBenchError, InvalidArguments, NotFound, Refused
from clawbench.flows import publish
from clawbench.flows.run_views import result_of
from clawbench.store import runs, scores
from clawbench.web.envelope import run_id_of
from clawbench.web.pages import page, page_route, redirect
from clawbench.web.session import check_form, require_admin

LONGEST_REASON = 1000
_AT_MOST = 100


def routes() -> list[Route]:
    """List, show, and judge."""
    return [
        page_route("/admin/gate", waiting, methods=["GET"]),
        page_route("/admin/gate/{run_id}", shown, methods=["GET"]),
        page_route("/admin/gate/{run_id}", judged, methods=["POST"]),
    ]


async def waiting(request: Request) -> Response:
    """Scored runs that nobody approved yet, and those that were approved last."""
    await require_admin(request, fresh=True)
    pool = _deps(request).pool
    return await page(
        request,
        "gate_list.html",
        waiting=await scores.waiting(pool, limit=_AT_MOST),
        approved=await scores.approved(pool, limit=_AT_MOST),
    )


async def shown(request: Request) -> Response:
    """A run, and what every gate last said of it."""
    await require_admin(request, fresh=True)
    return await _run_page(request)


async def judged(request: Request) -> Response:
    """Approve the evidence as it is now, or take the approval back."""
    admin = await require_admin(request, fresh=True)
    fields = await read_form(request)
    await check_form(request, fields)
    deps, run_id, reason = _deps(request), run_id_of(request), fields.get("reason", "").strip()
    try:
        if not 0 < len(reason) <= LONGEST_REASON:
            raise InvalidArguments(f"say why, in 1 to {LONGEST_REASON} characters")
        match fields.get("do"):
            case "approve":
                await publish.approve(deps, run_id, by=f"user {admin.id}", reason=reason)
            case "withdraw":
                await publish.withdraw(deps, run_id, by=f"user {admin.id}", reason=reason)
            case _:
                raise InvalidArguments("the form does not say what to do")
    except (InvalidArguments, Refused) as fault:
        return await _run_page(request, reason=reason, fault=fault)
    return redirect(f"/admin/gate/{run_id}")


async def _run_page(request: Request, *, reason: str = "", fault: ClawBenchError | None = None) -> Response:
    deps = _deps(request)
    run = await runs.by_id(deps.pool, run_id_of(request))
    if run is None:
        raise NotFound("there is no such run", hint="The list of what waits has every run that can be judged.")
    return await page(
        request,
        "gate_run.html",
        status=fault.status if fault else 200,
        run=await result_of(deps, run),
        is_approved=await scores.approved_head(deps.pool, run.id) is not None,
        reason=reason,
        longest=LONGEST_REASON,
        problem=fault.message if fault else None,
    )


def _deps(request: Request) -> Deps:
    return cast(Deps, request.app.state.deps)
