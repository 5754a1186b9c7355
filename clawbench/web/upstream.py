"""Signing in with the upstream issuer: there and back, bound to this browser by a cookie that is used once."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from clawbench.door import address_of, deps_of, require_navigation
from clawbench.errors import ClawBenchError, NotFound, NotPermitted
from clawbench.model.secret import new_secret
from clawbench.store.attempts import count_attempt, take_attempt_back
from clawbench.store.identities import now, user_with_identity
from clawbench.web.github import GITHUB, GitHub
from clawbench.web.issuer import Upstream, discover, redeem, upstream_of, where_to_ask
from clawbench.web.pages import HEADERS, error_page, page_route, redirect
from clawbench.web.session import cookie_of, current_session, delete_cookie, set_cookie, sign_in
from clawbench.web.sign_in import PER_ADDRESS, our_path

CALLBACK = "/sign-in/callback"
_COOKIE = "upstream"
_LIFETIME_S = 600


@dataclass(frozen=True, slots=True)
class _Trip:
    """One way there and back. All that must match on the return comes of the cookie's secret."""

    secret: str
    next_path: str

    def derived(self, purpose: str) -> str:
        return hmac.new(self.secret.encode(), purpose.encode(), sha256).hexdigest()


def routes(github: GitHub = GITHUB) -> list[Route]:
    """Off to the issuer, and back."""
    return [
        page_route("/sign-in/upstream", partial(leave, github=github), methods=["GET"]),
        page_route(CALLBACK, partial(come_back, github=github), methods=["GET"]),
    ]


async def leave(request: Request, *, github: GitHub) -> Response:
    """Send the browser to the issuer."""
    require_navigation(request)
    upstream = _configured(request, github)
    next_path = our_path(request.query_params.get("next"))
    session = await current_session(request)
    if session is not None and session.is_fresh:
        return redirect(next_path)
    await count_attempt(deps_of(request).pool, PER_ADDRESS, address_of(request))
    trip = _Trip(new_secret(), next_path)
    url = where_to_ask(
        upstream,
        await discover(upstream),
        redirect_uri=_redirect_uri(request),
        state=trip.derived("state"),
        nonce=trip.derived("nonce"),
        verifier=trip.derived("verifier"),
        again=session is not None,
    )
    response = RedirectResponse(url, 303, HEADERS)
    set_cookie(request, response, _COOKIE, f"{trip.secret}.{quote(next_path, safe='')}", max_age=_LIFETIME_S)
    return response


async def come_back(request: Request, *, github: GitHub) -> Response:
    """Sign the person in whom the issuer vouches for; the way back works once."""
    upstream, trip = _configured(request, github), _trip(request)
    try:
        response = await _signed_in(request, upstream, trip)
    except ClawBenchError as error:
        response = await error_page(request, error)
    delete_cookie(request, response, _COOKIE)
    return response


async def _signed_in(request: Request, upstream: Upstream, trip: _Trip) -> Response:
    pool, address, answer = deps_of(request).pool, address_of(request), request.query_params
    await count_attempt(pool, PER_ADDRESS, address)
    issuer = await discover(upstream)
    if answer.get("iss", None if issuer.names_itself else issuer.answers_as) != issuer.answers_as:
        raise NotPermitted("this answer is another issuer's", hint="Go to the sign-in page and begin again.")
    if "code" not in answer:
        raise NotPermitted(f"{upstream.name} did not sign you in", hint="Go to the sign-in page and begin again.")
    vouched = await redeem(
        upstream,
        issuer,
        code=answer["code"],
        redirect_uri=_redirect_uri(request),
        nonce=trip.derived("nonce"),
        verifier=trip.derived("verifier"),
        now=await now(pool),
    )
    user = await user_with_identity(
        pool, issuer=upstream.issuer, subject=vouched.subject, proposed=vouched.proposed_name
    )
    for _ in ("there", "back"):
        await take_attempt_back(pool, PER_ADDRESS, address)
    response = redirect(trip.next_path)
    await sign_in(request, response, user, authenticated_at=vouched.authenticated_at)
    return response


def _configured(request: Request, github: GitHub) -> Upstream:
    upstream = upstream_of(deps_of(request).settings, github)
    if upstream is None:
        raise NotFound("nobody else signs people in here", hint="Sign in with a local account.")
    return upstream


def _trip(request: Request) -> _Trip:
    secret, _, quoted = (cookie_of(request, _COOKIE) or "").partition(".")
    trip = _Trip(secret, our_path(unquote(quoted)))
    sent = request.query_params.get("state", "")
    if not secret or not hmac.compare_digest(trip.derived("state").encode(), sent.encode()):
        raise NotPermitted(
            "this sign-in was begun in another browser, or too long ago",
            hint="Go to the sign-in page and begin again.",
        )
    return trip


def _redirect_uri(request: Request) -> str:
    return f"{deps_of(request).settings.origin}{CALLBACK}"
