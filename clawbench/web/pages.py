"""Pages for people: templates, the headers every page carries, and what a person sees when something goes wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from clawbench.errors import ClawBenchError, NotAuthenticated, Unavailable
from clawbench.web.session import form_token, set_form_cookie, signed_in, unasked

HERE = Path(__file__).parent

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

Endpoint = Callable[[Request], Awaitable[Response]]


def routes() -> list[BaseRoute]:
    """The style sheet and the icon."""
    return [Mount("/static", StaticFiles(directory=HERE / "static"), name="static")]


async def page(
    request: Request, template: str, *, status: int = 200, has_form: bool = False, **context: object
) -> Response:
    """A page on ``base.html``; its templates see ``user``, ``csrf`` and the context.

    A page with a form that anonymous people send needs ``has_form``; signed-in people's pages have ``csrf`` anyway.
    """
    user = await signed_in(request)
    csrf, new_cookie = await form_token(request) if user or has_form else ("", None)
    html = _templates.get_template(template).render(user=user, csrf=csrf, path=request.url.path, **context)
    response = HTMLResponse(html, status, HEADERS)
    if new_cookie:
        set_form_cookie(request, response, new_cookie)
    return response


def redirect(path: str) -> Response:
    """Go on with a GET of one of our own pages."""
    return RedirectResponse(path, 303, HEADERS)


def page_route(path: str, endpoint: Endpoint, *, methods: list[str]) -> Route:
    """A route for people: not signed in leads to the sign-in page, any other error of ours is a page."""

    async def shown(request: Request) -> Response:
        try:
            return await endpoint(request)
        except NotAuthenticated:
            asked = request.url.path
            if request.method == "GET" and request.url.query:
                asked += f"?{request.url.query}"
            return redirect(f"/sign-in?next={quote(asked, safe='/')}")
        except ClawBenchError as error:
            return await error_page(request, error)

    return Route(path, shown, methods=methods)


async def error_page(request: Request, error: ClawBenchError) -> Response:
    """What went wrong, and what to do next."""
    if isinstance(error, Unavailable):
        unasked(request)
    response = await page(request, "error.html", status=error.status, error=error)
    response.headers.update(error.headers)
    return response
