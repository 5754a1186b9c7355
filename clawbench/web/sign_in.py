"""Signing in and out with a local account, and the one-time setup link."""

from __future__ import annotations

import re
from datetime import timedelta

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clawbench.door import address_of, deps_of, read_form
from clawbench.errors import InvalidArguments, NotFound
from clawbench.model.password import SHORTEST, hash_password, is_password
from clawbench.store.attempts import Limit, count_attempt, take_attempt_back
from clawbench.store.sessions import end_sessions_of
from clawbench.store.users import User, account_named, set_password, use_setup_link, user_of_setup_link
from clawbench.web.issuer import upstream_of
from clawbench.web.pages import page, page_route, redirect
from clawbench.web.session import check_form, current_session, sign_in, sign_out

PER_NAME = Limit(kind="sign_in", tries=10, window=timedelta(minutes=15))
PER_ADDRESS = Limit(kind="sign_in_address", tries=100, window=timedelta(minutes=15))

_OUR_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_OLD_LINK = "this setup link was used or is too old"
_ASK_FOR_A_LINK = "Ask the operator of this server for a new one."


def routes() -> list[Route]:
    """Sign-in, sign-out and setup; argon2 works in two threads, because each takes 64 MiB."""
    limiter = anyio.CapacityLimiter(2)

    async def sign_in_form(request: Request) -> Response:
        next_path = our_path(request.query_params.get("next"))
        session = await current_session(request)
        if session is not None and session.is_fresh:
            return redirect(next_path)
        return await _sign_in_page(request, name=session.user.name if session else "", next_path=next_path)

    async def sign_in_sent(request: Request) -> Response:
        fields = await read_form(request)
        await check_form(request, fields)
        name, next_path = fields.get("name", "").strip(), our_path(fields.get("next"))
        user = await who_is(request, name, fields.get("password", ""), limiter)
        if user is None:
            problem = "That name and password do not belong together."
            return await _sign_in_page(request, name=name, next_path=next_path, problem=problem, status=400)
        response = redirect(next_path)
        await sign_in(request, response, user)
        return response

    async def setup_sent(request: Request) -> Response:
        fields = await read_form(request)
        await check_form(request, fields)
        token, password = fields.get("token", ""), fields.get("password", "")
        await _owner_of(request, token)  # first: whoever has no link gets no work done here
        try:
            if password != fields.get("password_again"):
                raise InvalidArguments("the two passwords are not the same")
            stored = await anyio.to_thread.run_sync(hash_password, password, limiter=limiter)
        except InvalidArguments as fault:
            return await _setup_page(request, token, problem=fault.message, status=400)
        response = redirect("/")
        await sign_in(request, response, await _finish_setup(request, token, stored))
        return response

    return [
        page_route("/sign-in", sign_in_form, methods=["GET"]),
        page_route("/sign-in", sign_in_sent, methods=["POST"]),
        page_route("/sign-out", sign_out_sent, methods=["POST"]),
        page_route("/setup", setup_form, methods=["GET"]),
        page_route("/setup", setup_sent, methods=["POST"]),
    ]


async def sign_out_sent(request: Request) -> Response:
    """End the session and show the sign-in page."""
    await check_form(request, await read_form(request))
    response = redirect("/sign-in")
    await sign_out(request, response)
    return response


async def setup_form(request: Request) -> Response:
    """Ask the person behind a setup link for a password."""
    return await _setup_page(request, request.query_params.get("token", ""))


def our_path(next_path: str | None) -> str:
    """Where to go after signing in: a path on this server, whatever the link said."""
    return next_path if next_path and _OUR_PATH.fullmatch(next_path) else "/"


async def who_is(request: Request, name: str, password: str, limiter: anyio.CapacityLimiter) -> User | None:
    """The user with this name and password; a wrong try counts, a good one does not."""
    pool, address = deps_of(request).pool, address_of(request)
    counted = [(PER_ADDRESS, address), (PER_NAME, f"{name.lower()}\n{address}")]
    for limit, who in counted:
        await count_attempt(pool, limit, who)
    account = await account_named(pool, name)
    stored = account.password_hash if account else None
    if not await anyio.to_thread.run_sync(is_password, password, stored, limiter=limiter) or account is None:
        return None
    for limit, who in counted:
        await take_attempt_back(pool, limit, who)
    return account.user


async def _owner_of(request: Request, token: str) -> User:
    owner = await user_of_setup_link(deps_of(request).pool, token)
    if owner is None:
        raise NotFound(_OLD_LINK, hint=_ASK_FOR_A_LINK)
    return owner


async def _finish_setup(request: Request, token: str, password_hash: str) -> User:
    async with deps_of(request).pool.acquire() as connection, connection.transaction():
        user = await use_setup_link(connection, token)
        if user is None:
            raise NotFound(_OLD_LINK, hint=_ASK_FOR_A_LINK)
        await set_password(connection, user.id, password_hash)
        await end_sessions_of(connection, user.id)
        return user


async def _sign_in_page(
    request: Request, *, name: str, next_path: str, problem: str | None = None, status: int = 200
) -> Response:
    upstream = upstream_of(deps_of(request).settings)
    return await page(
        request,
        "sign_in.html",
        status=status,
        has_form=True,
        name=name,
        next_path=next_path,
        upstream=upstream.name if upstream else None,
        problem=problem,
    )


async def _setup_page(request: Request, token: str, *, problem: str | None = None, status: int = 200) -> Response:
    owner = await _owner_of(request, token)
    return await page(
        request,
        "setup.html",
        status=status,
        has_form=True,
        owner=owner,
        token=token,
        shortest=SHORTEST,
        problem=problem,
    )
