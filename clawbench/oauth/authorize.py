"""The authorization endpoint (RFC 6749 §3.1): a client sends a person's browser here, to be led to the consent page."""

from __future__ import annotations

from datetime import timedelta
from html import escape
from typing import assert_never
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from clawbench.door import address_of, deps_of, require_navigation
from clawbench.errors import ClawBenchError, InvalidArguments, NotPermitted, OverCap, Unavailable
from clawbench.model.redirect import redirect_of
from clawbench.oauth import core
from clawbench.oauth.endpoint import without_blanks
from clawbench.store.attempts import Limit, count_attempt

ASKING = Limit(kind="authorization", tries=300, window=timedelta(minutes=10))
LONGEST = 8 * 1024

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>This sign-in cannot go on · ClawBench</title>
  <link rel="stylesheet" href="/static/style.css">
</head>
<body>
  <main class="narrow">
    <section class="card">
      <h1>This sign-in cannot go on</h1>
      <p>The program that sent you here asked for something this server does not do: {why}.</p>
      <p>Nothing was given to it. Go back to the program and sign in again; if this stays, tell whoever makes it.</p>
      {way_back}
    </section>
  </main>
</body>
</html>
"""


def routes(workers: core.Workers) -> list[Route]:
    """Where a browser is sent."""

    async def authorize(request: Request) -> Response:
        try:
            require_navigation(request)
            fields = _fields(request.url.query)
            deps = deps_of(request)
            await count_attempt(deps.pool, ASKING, address_of(request))
            outcome = await core.ask(core.authorization, deps, fields, workers)
        except (InvalidArguments, NotPermitted, OverCap, Unavailable) as fault:
            return _turned_away(fault.message, fault)
        match outcome:
            case core.Asked(request=secret):
                return RedirectResponse(f"/consent?request={secret}", 303, _HEADERS)
            case core.SentBack() as back:
                return _sent_back(back)
            case core.TurnedAway(why=why):
                return _turned_away(why)
            case _ as never:
                assert_never(never)

    return [Route("/oauth/authorize", authorize, methods=["GET"])]


def _fields(query: str) -> dict[str, str]:
    if len(query) > LONGEST:
        raise InvalidArguments("the request is too large")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=32, errors="strict")
    except ValueError as fault:
        raise InvalidArguments("the request is not readable") from fault
    if len(dict(pairs)) != len(pairs):
        raise InvalidArguments("a parameter is given more than once")
    fields = dict(without_blanks(dict(pairs)))
    if set(fields.get("response_type", "")) & set('"\\'):
        raise InvalidArguments("there is no such response_type")  # Authlib fails over these letters
    return fields


def _sent_back(back: core.SentBack) -> Response:
    """Tell the client; any web site can register itself, so to one a person goes by a click (RFC 9700 §4.11.2)."""
    redirect = redirect_of(back.redirect_uri)
    assert redirect is not None, "only such are registered"
    if redirect.scheme != "https":
        return RedirectResponse(back.uri, 303, _HEADERS)
    way_back = f'<p><a href="{escape(back.uri)}">Go back to {escape(redirect.place)}</a></p>'
    return _turned_away(back.why, way_back=way_back)


def _turned_away(why: str, fault: ClawBenchError | None = None, *, way_back: str = "") -> Response:
    """Nobody is sent to an address that no registered client has; the person is told here instead."""
    status = 400 if fault is None else fault.status
    response = HTMLResponse(_PAGE.format(why=escape(why.rstrip(".")), way_back=way_back), status, _HEADERS)
    if fault is not None:
        response.headers.update(fault.headers)
    return response
