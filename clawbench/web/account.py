"""A person's own page: agents, connected programs, API keys, the password, and signing out everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clawbench.door import deps_of, read_form
from clawbench.errors import InvalidArguments, NotFound, Refused
from clawbench.model.caller import OFFERED_SCOPES, Scope
from clawbench.model.password import SHORTEST, hash_password
from clawbench.model.secret import API_KEY_PREFIX, new_secret
from clawbench.store.api_keys import keys_of, revoke_key, save_key
from clawbench.store.connections import connections_of
from clawbench.store.grants import Why, revoke_grant
from clawbench.store.sessions import end_sessions_of
from clawbench.store.users import User, account_named, set_password
from clawbench.web.approval import choices, chosen_agent
from clawbench.web.pages import page, page_route, redirect
from clawbench.web.session import check_form, delete_cookie, require_user, sign_in
from clawbench.web.sign_in import who_is

KEY_SCOPES = {"read": (Scope.READ,), "run": OFFERED_SCOPES}
LIFETIMES = {"30": "30 days", "90": "90 days", "365": "a year", "": "until revoked"}
_DEFAULTS = {"name": "", "may": "run", "days": "90"}
_NOT_YOURS = "there is no such thing of yours"
_RELOAD = "Reload the page: it may have been ended already."


def routes() -> list[Route]:
    """Show the account, and change it."""
    limiter = anyio.CapacityLimiter(1)

    async def changed(request: Request) -> Response:
        user = await require_user(request)
        fields = await read_form(request)
        await check_form(request, fields)
        match fields.get("do"):
            case "make-key":
                return await _make_key(request, user, fields)
            case "revoke-key":
                return await _revoke_key(request, user, fields)
            case "disconnect":
                return await _disconnect(request, user, fields)
            case "change-password":
                return await _change_password(request, user, fields, limiter)
            case "sign-out-everywhere":
                return await _sign_out_everywhere(request, user)
            case _:
                raise InvalidArguments("the form does not say what to do")

    return [
        page_route("/account", account, methods=["GET"]),
        page_route("/account", changed, methods=["POST"]),
    ]


async def account(request: Request) -> Response:
    """Everything that acts for this person."""
    return await _account_page(request, await require_user(request))


async def _make_key(request: Request, user: User, fields: Mapping[str, str]) -> Response:
    """Make a key, and show it this once."""
    key, days = new_secret(API_KEY_PREFIX), fields.get("days", "")
    try:
        if fields.get("may") not in KEY_SCOPES or days not in LIFETIMES:
            raise InvalidArguments("choose what the key may do, and for how long")
        async with deps_of(request).pool.acquire() as connection, connection.transaction():
            agent = await chosen_agent(connection, user, fields)
            await save_key(
                connection,
                key,
                name=fields.get("name", "").strip(),
                user_id=user.id,
                agent_id=agent.id,
                scopes=KEY_SCOPES[fields["may"]],
                lifetime=timedelta(days=int(days)) if days else None,
            )
    except (InvalidArguments, Refused) as fault:
        return await _account_page(request, user, fields=fields, key_problem=fault.message, status=fault.status)
    return await _account_page(request, user, new_key=key)


async def _revoke_key(request: Request, user: User, fields: Mapping[str, str]) -> Response:
    if not await revoke_key(deps_of(request).pool, _id_in(fields), user_id=user.id):
        raise NotFound(_NOT_YOURS, hint=_RELOAD)
    return redirect("/account#keys")


async def _disconnect(request: Request, user: User, fields: Mapping[str, str]) -> Response:
    pool, grant_id = deps_of(request).pool, _id_in(fields)
    own = {connection.grant_id for connection in await connections_of(pool, user.id)}
    if grant_id not in own or not await revoke_grant(pool, grant_id, Why.USER):
        raise NotFound(_NOT_YOURS, hint=_RELOAD)
    return redirect("/account#programs")


async def _change_password(
    request: Request, user: User, fields: Mapping[str, str], limiter: anyio.CapacityLimiter
) -> Response:
    """Take a new password from whoever knows the old one; every other browser is signed out."""
    try:
        if await who_is(request, user.name, fields.get("password", ""), limiter) != user:
            raise InvalidArguments("that is not your password")
        if fields.get("new_password") != fields.get("new_password_again"):
            raise InvalidArguments("the two new passwords are not the same")
        stored = await anyio.to_thread.run_sync(hash_password, fields.get("new_password", ""), limiter=limiter)
    except InvalidArguments as fault:
        return await _account_page(request, user, password_problem=fault.message, status=fault.status)
    async with deps_of(request).pool.acquire() as connection, connection.transaction():
        await set_password(connection, user.id, stored)
        await end_sessions_of(connection, user.id)
    response = redirect("/account")
    await sign_in(request, response, user)
    return response


async def _sign_out_everywhere(request: Request, user: User) -> Response:
    await end_sessions_of(deps_of(request).pool, user.id)
    response = redirect("/sign-in")
    delete_cookie(request, response, "session")
    return response


async def _account_page(
    request: Request,
    user: User,
    *,
    fields: Mapping[str, str] | None = None,
    new_key: str | None = None,
    key_problem: str | None = None,
    password_problem: str | None = None,
    status: int = 200,
) -> Response:
    pool = deps_of(request).pool
    stored = await account_named(pool, user.name)
    return await page(
        request,
        "account.html",
        status=status,
        connections=await connections_of(pool, user.id),
        keys=await keys_of(pool, user.id),
        run_scope=Scope.RUN,
        lifetimes=LIFETIMES,
        sent={**_DEFAULTS, **(fields or {})},
        new_key=new_key,
        resource=deps_of(request).settings.resource,
        key_problem=key_problem,
        password_problem=password_problem,
        has_password=stored is not None and stored.password_hash is not None,
        shortest=SHORTEST,
        **await choices(request, user, (), fields=fields),
    )


def _id_in(fields: Mapping[str, str]) -> UUID:
    try:
        return UUID(fields.get("id", ""))
    except ValueError:
        raise NotFound(_NOT_YOURS, hint=_RELOAD) from None
