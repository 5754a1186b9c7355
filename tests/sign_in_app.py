"""The sign-in part of the app on its own, and people to try it with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from clawbench.model.caller import Scope
from clawbench.oauth import routes as oauth_routes
from clawbench.oauth.bearer import RequireBearer, issue_token
from clawbench.settings import Settings
from clawbench.store.agents import Agent, create_agent
from clawbench.store.db import Pool
from clawbench.store.users import User, create_user
from clawbench.web import account, consent, gate, pages, people, sign_in, upstream
from clawbench.web import device as device_page

ORIGIN = "https://clawbench.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """What the doors under test read."""

    pool: Pool
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with an agent and a setup link not yet used."""

    user: User
    agent: Agent
    setup_token: str


async def whoami(request: Request) -> JSONResponse:
    """Tell who the bearer check found."""
    caller = request.state.caller
    return JSONResponse({"agent": caller.agent_name, "scopes": sorted(caller.scopes)})


def app_on(pool: Pool, *, origin: str = ORIGIN) -> Starlette:
    """An app as the composition root makes it, with a small protected resource at /mcp."""
    protected = RequireBearer(Starlette(routes=[Route("/mcp", whoami)]))
    app = Starlette(
        routes=[
            *oauth_routes.routes(),
            *pages.routes(),
            *sign_in.routes(),
            *upstream.routes(),
            *account.routes(),
            *people.routes(),
            *gate.routes(),
            *consent.routes(),
            *device_page.routes(),
            Route("/mcp", protected),
        ]
    )
    app.state.deps = Deps(pool=pool, settings=Settings(public_url=origin))
    return app


def browser_of(app: Starlette, *, origin: str = ORIGIN) -> httpx2.AsyncClient:
    """A client that keeps cookies and follows nothing by itself."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=origin)


def fresh_name(start: str) -> str:
    """A name nobody has yet."""
    return f"{start}_{uuid4().hex[:12]}"


async def somebody(pool: Pool, *, admin: bool = False) -> Person:
    """A new person with one agent."""
    new = await create_user(pool, fresh_name("person"), admin=admin)
    agent = await create_agent(pool, owner_id=new.user.id, name=fresh_name("agent"))
    return Person(user=new.user, agent=agent, setup_token=new.setup_token)


async def token_of(pool: Pool, person: Person, *scopes: Scope) -> str:
    """An operator's token for the person's agent."""
    issued = await issue_token(
        pool,
        agent=person.agent,
        scopes=scopes or (Scope.READ, Scope.RUN),
        lifetime=timedelta(hours=1),
        resource=f"{ORIGIN}/mcp",
    )
    return issued.text


PASSWORD = "four quite unrelated words"


def csrf_in(page: httpx2.Response) -> str:
    """The form token of a page."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
    assert found is not None, page.text
    return found[1]


async def send(
    browser: httpx2.AsyncClient, shown_at: str, fields: dict[str, str], *, to: str | None = None
) -> httpx2.Response:
    """Open a page and send its form back with these fields."""
    page = await browser.get(shown_at)
    return await browser.post(to or shown_at.partition("?")[0], data={"csrf": csrf_in(page), **fields})


async def set_up(browser: httpx2.AsyncClient, person: Person) -> httpx2.Response:
    """Follow the person's setup link; the browser is signed in afterwards."""
    fields = {"token": person.setup_token, "password": PASSWORD, "password_again": PASSWORD}
    return await send(browser, f"/setup?token={person.setup_token}", fields)
