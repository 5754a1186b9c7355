"""Who is looking at a page: the session behind the cookie, and the token that every form carries."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response

from clawbench.door import deps_of
from clawbench.errors import NotAuthenticated, NotPermitted
from clawbench.model.secret import new_secret
from clawbench.store.sessions import SESSION_LIFETIME, Session, end_session, session_with, start_session
from clawbench.store.users import User


async def current_session(request: Request) -> Session | None:
    """The browser's live session; looked up once per request."""
    if "clawbench.session" not in request.scope:
        secret = cookie_of(request, "session")
        request.scope["clawbench.session"] = await session_with(deps_of(request).pool, secret) if secret else None
    return request.scope["clawbench.session"]


def unasked(request: Request) -> None:
    """Show the rest of this request as to a stranger: Postgres cannot be asked who it is."""
    request.scope["clawbench.session"] = None


async def signed_in(request: Request) -> User | None:
    """The person at the browser, if signed in."""
    session = await current_session(request)
    return None if session is None else session.user


async def require_user(request: Request) -> User:
    """The person at the browser.

    Raises:
        NotAuthenticated: nobody is signed in.
    """
    user = await signed_in(request)
    if user is None:
        raise NotAuthenticated
    return user


async def require_admin(request: Request, *, fresh: bool = False) -> User:
    """The admin at the browser; ``fresh`` asks for a password given within the last 15 minutes.

    Raises:
        NotAuthenticated: nobody is signed in, or the password has to be given again.
        NotPermitted: the person is not an admin.
    """
    user = await require_user(request)
    if not user.is_admin:
        raise NotPermitted("only an admin may do this", hint="Ask an admin of this server.")
    session = await current_session(request)
    if fresh and not (session and session.is_fresh):
        raise NotAuthenticated("give your password again")
    return user


async def sign_in(
    request: Request, response: Response, user: User, *, authenticated_at: datetime | None = None
) -> None:
    """Start a new session in this browser; the one it had ends, so a planted cookie is worth nothing."""
    pool = deps_of(request).pool
    if before := cookie_of(request, "session"):
        await end_session(pool, before)
    secret = await start_session(pool, user.id, authenticated_at=authenticated_at)
    set_cookie(request, response, "session", secret, max_age=int(SESSION_LIFETIME.total_seconds()))


async def sign_out(request: Request, response: Response) -> None:
    """End the session of this browser, if it has one."""
    if secret := cookie_of(request, "session"):
        await end_session(deps_of(request).pool, secret)
        delete_cookie(request, response, "session")


async def form_token(request: Request) -> tuple[str, str | None]:
    """The token for the forms of a page, and the form cookie to set if an anonymous browser has none yet."""
    if await current_session(request) is not None:
        return _token_of(request.cookies[_cookie_name(request, "session")]), None
    if secret := cookie_of(request, "form"):
        return _token_of(secret), None
    secret = new_secret()
    return _token_of(secret), secret


def set_form_cookie(request: Request, response: Response, secret: str) -> None:
    """Give an anonymous browser what its form token is checked against."""
    set_cookie(request, response, "form", secret, max_age=None)


async def check_form(request: Request, fields: Mapping[str, str]) -> None:
    """Make sure that the form was ours, shown to this browser.

    Raises:
        NotPermitted: the token is missing, old, or another browser's.
    """
    kind = "form" if await current_session(request) is None else "session"
    secret = cookie_of(request, kind)
    sent = fields.get("csrf", "")
    if not secret or not hmac.compare_digest(_token_of(secret).encode(), sent.encode()):
        raise NotPermitted("this form is out of date", hint="Go back, reload the page, and send the form again.")


def _token_of(secret: str) -> str:
    return hmac.new(secret.encode(), b"clawbench form", sha256).hexdigest()


def _is_secure(request: Request) -> bool:
    return deps_of(request).settings.origin.startswith("https://")


def _cookie_name(request: Request, kind: str) -> str:
    # A __Host- cookie can only come from this very host, over https.
    return f"__Host-clawbench_{kind}" if _is_secure(request) else f"clawbench_{kind}"


def cookie_of(request: Request, kind: str) -> str | None:
    """What this browser's cookie of the kind holds."""
    return request.cookies.get(_cookie_name(request, kind))


def delete_cookie(request: Request, response: Response, kind: str) -> None:
    """Take the cookie of the kind from this browser."""
    name = _cookie_name(request, kind)
    response.delete_cookie(name, path="/", secure=_is_secure(request), httponly=True, samesite="lax")


def set_cookie(request: Request, response: Response, kind: str, value: str, *, max_age: int | None) -> None:
    """Give this browser a cookie that no script and no other site can use."""
    response.set_cookie(
        _cookie_name(request, kind),
        value,
        max_age=max_age,
        path="/",
        secure=_is_secure(request),
        httponly=True,
        samesite="lax",
    )
