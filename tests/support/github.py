"""A small server on a loopback port that speaks as GitHub does: no discovery, no ID token, errors with status 200."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from clawbench.web.github import GITHUB, GitHub
from tests.support.process import free_port
from tests.support.stack import served

CLIENT_ID, CLIENT_SECRET = "Iv1.clawbench", "between us two"


@dataclass(slots=True, kw_only=True)
class GitHubLike:
    """A GitHub, and the ways in which a bad day there differs from a good one."""

    url: str
    user: dict[str, Any] = field(default_factory=lambda: {"id": 1815, "login": "ada", "name": "Ada L.", "type": "User"})
    """Who is signed in there."""
    answer: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """What the redirect back says otherwise."""
    instead: dict[str, Response] = field(default_factory=dict[str, Response])
    """What a path answers instead."""
    asked: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """Every authorization request."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    tokens: list[str] = field(default_factory=list[str])
    """Every access token that was given."""
    paths: list[str] = field(default_factory=list[str])
    """Every path that was asked for, in order."""

    @property
    def described(self) -> GitHub:
        """GitHub as the product knows it, but here."""
        return replace(
            GITHUB,
            authorization_endpoint=f"{self.url}/login/oauth/authorize",
            token_endpoint=f"{self.url}/login/oauth/access_token",
            user_endpoint=f"{self.url}/user",
        )

    def app(self) -> Starlette:
        """What it serves; anything else is 404, also every discovery document."""
        return Starlette(
            routes=[
                Route("/login/oauth/authorize", self._authorize),
                Route("/login/oauth/access_token", self._access_token, methods=["POST"]),
                Route("/user", self._user),
            ]
        )

    async def _authorize(self, request: Request) -> Response:
        self.paths.append(request.url.path)
        asked = dict(request.query_params)
        self.asked.append(asked)
        code = uuid4().hex[:20]
        self.codes[code] = asked
        answer = {"code": code, "iss": GITHUB.answers_as, "state": asked["state"], **self.answer}
        told = {name: value for name, value in answer.items() if value is not None}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(told)}", 302)

    async def _access_token(self, request: Request) -> Response:
        self.paths.append(request.url.path)
        if request.url.path in self.instead:
            return self.instead[request.url.path]
        told = self._redeemed(dict(parse_qsl((await request.body()).decode())))
        if request.headers.get("accept") == "application/json":
            return JSONResponse(told)
        return PlainTextResponse(urlencode(told), media_type="application/x-www-form-urlencoded")

    def _redeemed(self, fields: dict[str, str]) -> dict[str, str]:
        if (fields.get("client_id"), fields.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return {"error": "incorrect_client_credentials", "error_description": "The client_id is <b>wrong</b>."}
        asked = self.codes.pop(fields.get("code", ""), None)
        verifier = fields.get("code_verifier", "").encode()
        challenge = base64.urlsafe_b64encode(sha256(verifier).digest()).rstrip(b"=").decode()
        if asked is None or (asked["code_challenge_method"], asked["code_challenge"]) != ("S256", challenge):
            return {"error": "bad_verification_code", "error_description": "The code is incorrect or <b>expired</b>."}
        if asked["redirect_uri"] != fields.get("redirect_uri"):
            return {"error": "redirect_uri_mismatch", "error_description": "The redirect_uri MUST match."}
        token = f"gho_{uuid4().hex}"
        self.tokens.append(token)
        return {"access_token": token, "scope": asked["scope"], "token_type": "bearer"}

    async def _user(self, request: Request) -> Response:
        self.paths.append(request.url.path)
        if request.url.path in self.instead:
            return self.instead[request.url.path]
        if not request.headers.get("user-agent"):
            return PlainTextResponse("Request forbidden by administrative rules.", 403)
        if request.headers.get("authorization") not in {f"Bearer {token}" for token in self.tokens}:
            return JSONResponse({"message": "Bad credentials"}, 401)
        if request.headers.get("accept") != "application/vnd.github+json":
            return JSONResponse({"message": "Unsupported 'Accept' header"}, 415)
        return JSONResponse(self.user)


@contextlib.asynccontextmanager
async def github_like() -> AsyncGenerator[GitHubLike]:
    """One that is served while the body runs."""
    port = free_port()
    github = GitHubLike(url=f"http://127.0.0.1:{port}")
    async with served(github.app(), port):
        yield github
