"""A small OpenID issuer on a loopback port: real codes, real PKCE, ID tokens signed with a key made at its start."""

from __future__ import annotations

import base64
import contextlib
import functools
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from time import time
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.support.process import free_port
from tests.support.stack import served

CLIENT_ID, CLIENT_SECRET = "clawbench", "between us two"

Claims = dict[str, Any]


@functools.cache  # a key takes a while to make
def _key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": uuid4().hex, "use": "sig"}, private=True)


@dataclass(slots=True, kw_only=True)
class OpenIdIssuer:
    """An issuer, and the ways in which a bad one differs from a good one."""

    url: str
    key: RSAKey = field(default_factory=_key)
    person: Claims = field(default_factory=lambda: {"sub": uuid4().hex, "preferred_username": "ada"})
    """Who is signed in there, as its claims."""
    more: Callable[[Claims], Claims] = lambda claims: claims
    """What becomes of the claims before they are signed."""
    sign: Callable[[Claims], str] | None = None
    discovery: Claims = field(default_factory=dict[str, Any])
    """What the discovery document says otherwise."""
    answer: Claims = field(default_factory=dict[str, Any])
    """What the redirect back says otherwise."""
    instead: dict[str, Response] = field(default_factory=dict[str, Response])
    """What a path answers instead."""
    public_client: bool = False
    asked: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """Every authorization request."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    redeemed: list[str] = field(default_factory=list[str])

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._configuration),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/jwks", self._jwks),
            ]
        )

    def signed(self, claims: Claims, key: RSAKey | None = None) -> str:
        key = key or self.key
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, key)

    async def _configuration(self, request: Request) -> Response:
        told = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "authorization_response_iss_parameter_supported": True,
        }
        return JSONResponse({**told, **self.discovery})

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        self.asked.append(asked)
        code = uuid4().hex
        self.codes[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": self.url, **self.answer}
        told = {name: value for name, value in answer.items() if value is not None}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(told)}", 303)

    async def _token(self, request: Request) -> Response:
        if request.url.path in self.instead:
            return self.instead[request.url.path]
        fields = dict(parse_qsl((await request.body()).decode()))
        asked = self.codes.get(fields["code"])
        challenge = base64.urlsafe_b64encode(sha256(fields["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        refused = (
            asked is None
            or fields["code"] in self.redeemed
            or asked["code_challenge_method"] != "S256"
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != fields["redirect_uri"]
            or not self._knows(request, fields)
        )
        if asked is None or refused:
            return JSONResponse({"error": "invalid_grant"}, 400)
        self.redeemed.append(fields["code"])
        now = int(time())
        claims: Claims = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "auth_time": now}
        claims = self.more({**claims, "nonce": asked["nonce"], **self.person})
        token = self.sign(claims) if self.sign else self.signed(claims)
        return JSONResponse({"access_token": uuid4().hex, "token_type": "Bearer", "id_token": token})

    def _knows(self, request: Request, fields: dict[str, str]) -> bool:
        if self.public_client:
            return fields.get("client_id") == CLIENT_ID and "authorization" not in request.headers
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        return request.headers.get("authorization") == f"Basic {expected}"

    async def _jwks(self, request: Request) -> Response:
        if request.url.path in self.instead:
            return self.instead[request.url.path]
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})


@contextlib.asynccontextmanager
async def open_id_issuer() -> AsyncGenerator[OpenIdIssuer]:
    """One that is served while the body runs."""
    port = free_port()
    issuer = OpenIdIssuer(url=f"http://127.0.0.1:{port}")
    async with served(issuer.app(), port):
        yield issuer
