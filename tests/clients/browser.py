"""A person at a browser: signs in once, and says yes to what is asked on a page."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from html.parser import HTMLParser

import httpx2

PERSON, PASSWORD = "canary", "four unrelated plain words"
AGENT = "Tester_agent"


class Form(HTMLParser):
    """The one form of a page: what it holds before a person touches it, and the choices by what is written there."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields = dict[str, str]()
        self.choices = dict[str, str]()
        self._choice: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given["action"]
        elif tag == "input" and given.get("type") == "radio":
            self._choice = given["value"]
        elif tag == "input":
            self.fields[given["name"]] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._choice is not None and data.strip():
            self.choices[data.strip()] = self._choice
            self._choice = None


@contextlib.asynccontextmanager
async def at_browser(server: str, setup_link: str) -> AsyncGenerator[httpx2.AsyncClient]:
    """A browser in which the person has set the password, and so is signed in."""
    async with httpx2.AsyncClient(base_url=server, follow_redirects=True, timeout=30) as browser:
        await _send(browser, await browser.get(setup_link), password=PASSWORD, password_again=PASSWORD)
        yield browser


async def decide(browser: httpx2.AsyncClient, address: str, decision: str = "approve") -> httpx2.Response:
    """Open what a client opened, choose the agent and press a button; where that led."""
    page = await browser.get(address)
    form = Form(page.raise_for_status().text)
    return await _send(browser, page, agent=form.choices[AGENT], agent_name="", decision=decision)


async def _send(browser: httpx2.AsyncClient, page: httpx2.Response, **fields: str) -> httpx2.Response:
    form = Form(page.raise_for_status().text)
    answer = await browser.post(page.url.join(form.action), data={**form.fields, **fields})
    # What the client itself answers, where the person is sent back to it, is its own affair.
    return answer.raise_for_status() if answer.url.port == browser.base_url.port else answer
