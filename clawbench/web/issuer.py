"""The issuer upstream, asked through Authlib's client: where it is, and whom it vouches for."""

# Authlib has no types of its own, and the stubs that pyright knows are those of an older Authlib.
# pyright: reportUnknownMemberType=none, reportUnknownVariableType=none, reportUnknownArgumentType=none

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, assert_never, cast
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuthError
from authlib.oauth2.client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from clawbench.errors import InvalidArguments, NotPermitted, Unavailable
from clawbench.settings import Settings
from clawbench.web.github import GITHUB, GitHub

ANSWERS_WITHIN_S = 10.0
LEEWAY_S = 60
ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip
"""Signatures only: neither ``none`` nor an HMAC, whose key would be a public one."""

NEVER = datetime.fromtimestamp(0, UTC)
_Client = cast(Any, AsyncOAuth2Client)  # the stubs know it over httpx; it is over httpx2
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BEGIN_AGAIN = "Go to the sign-in page and begin again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The issuer that the operator configured, and who we are there."""

    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    name: str
    github: GitHub | None
    """Where it is asked if it is GitHub, which publishes nothing of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """What an OpenID issuer says of itself."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    auth_method: str
    answers_as: str
    names_itself: bool
    """It puts ``iss`` on every answer (RFC 9207)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """Whom the issuer vouches for."""

    subject: str
    proposed_name: str
    authenticated_at: datetime
    """When the person last proved who they are there; ``NEVER`` where the issuer does not say."""


def upstream_of(settings: Settings, github: GitHub = GITHUB) -> Upstream | None:
    """The configured issuer, if there is one; ``github`` is told apart by its address.

    Raises:
        InvalidArguments: it is configured by half, or its address is not https.
    """
    if settings.oidc_issuer is None and settings.oidc_client_id is None:
        return None
    if not settings.oidc_issuer or not settings.oidc_client_id:
        raise InvalidArguments(
            "CLAWBENCH_OIDC_ISSUER and CLAWBENCH_OIDC_CLIENT_ID go together", hint="Set both, or neither."
        )
    address = urlsplit(settings.oidc_issuer)
    if address.scheme != "https" and not (address.scheme == "http" and address.hostname in _LOOPBACK):
        raise InvalidArguments("CLAWBENCH_OIDC_ISSUER is not an https address", hint="Use the issuer's https address.")
    is_github = settings.oidc_issuer.rstrip("/") == github.issuer
    secret = settings.oidc_client_secret
    if is_github and not secret:
        raise InvalidArguments("GitHub knows no public clients", hint="Set CLAWBENCH_OIDC_CLIENT_SECRET, too.")
    return Upstream(
        issuer=github.issuer if is_github else settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=secret.get_secret_value() if secret else None,
        name=settings.oidc_name or address.netloc,
        github=github if is_github else None,
    )


async def discover(upstream: Upstream) -> Issuer | GitHub:
    """The issuer's endpoints, from its discovery document if it has one.

    Raises:
        Unavailable: it does not answer, or not as itself.
    """
    if upstream.github is not None:
        return upstream.github
    told = await _document(upstream, f"{upstream.issuer.rstrip('/')}/.well-known/openid-configuration")
    if told.get("issuer") != upstream.issuer:
        raise _away(upstream, "it names itself otherwise")
    methods = told.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    posts = "client_secret_basic" not in methods and "client_secret_post" in methods
    with_secret = "client_secret_post" if posts else "client_secret_basic"
    return Issuer(
        authorization_endpoint=_endpoint(upstream, told, "authorization_endpoint"),
        token_endpoint=_endpoint(upstream, told, "token_endpoint"),
        jwks_uri=_endpoint(upstream, told, "jwks_uri"),
        auth_method=with_secret if upstream.client_secret else "none",
        answers_as=upstream.issuer,
        names_itself=told.get("authorization_response_iss_parameter_supported") is True,
    )


def where_to_ask(
    upstream: Upstream,
    issuer: Issuer | GitHub,
    *,
    redirect_uri: str,
    state: str,
    nonce: str,
    verifier: str,
    again: bool,
) -> str:
    """The address at the issuer that the browser is sent to; ``again`` has the person prove anew who they are."""
    match issuer:
        case Issuer():
            asked = {"scope": "openid profile email", "nonce": nonce}
            asked |= {"prompt": "login", "max_age": "0"} if again else {}
        case GitHub():
            asked = {"scope": "read:user"}
        case _:
            assert_never(issuer)
    client = OAuth2Client(None, upstream.client_id, redirect_uri=redirect_uri, code_challenge_method="S256")
    url, _ = client.create_authorization_url(
        issuer.authorization_endpoint, state=state, code_verifier=verifier, **asked
    )
    return url


async def redeem(
    upstream: Upstream,
    issuer: Issuer | GitHub,
    *,
    code: str,
    redirect_uri: str,
    nonce: str,
    verifier: str,
    now: datetime,
) -> Vouched:
    """Exchange the code, and check the ID token that comes for it; or ask GitHub whose access token came.

    Raises:
        NotPermitted: the issuer refused the code, or what it says of the person does not hold.
        Unavailable: the issuer does not answer.
    """
    async with _Client(
        upstream.client_id,
        upstream.client_secret,
        token_endpoint_auth_method=issuer.auth_method,
        timeout=ANSWERS_WITHIN_S,
    ) as client:
        try:
            token = await client.fetch_token(
                issuer.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
                redirect_uri=redirect_uri,
            )
        except OAuthError as refusal:
            raise NotPermitted(f"{upstream.name} refused this sign-in", hint=_BEGIN_AGAIN) from refusal
        except (httpx2.HTTPError, ValueError) as fault:
            raise _away(upstream, "it gave no token") from fault
    try:
        match issuer:
            case Issuer():
                keys = await _document(upstream, issuer.jwks_uri)
                return _checked(upstream, cast("dict[str, Any]", token), keys, nonce=nonce, now=now)
            case GitHub():
                bearer = {"Authorization": f"Bearer {token['access_token']}", "Accept": "application/vnd.github+json"}
                return _user(await _document(upstream, issuer.user_endpoint, bearer))
            case _:
                assert_never(issuer)
    except (JoseError, KeyError, TypeError, ValueError, OverflowError, OSError) as fault:
        raise NotPermitted(f"what {upstream.name} said of you does not hold", hint=_BEGIN_AGAIN) from fault


def _checked(upstream: Upstream, token: dict[str, Any], keys: dict[str, Any], *, nonce: str, now: datetime) -> Vouched:
    public = [key for key in keys["keys"] if isinstance(key, dict) and key.get("kty") != "oct"]
    signing = [key for key in public if key.get("use", "sig") == "sig"]
    decoded = jwt.decode(token["id_token"], KeySet.import_key_set({"keys": signing}), algorithms=ALGORITHMS)
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        {
            "iss": {"essential": True, "value": upstream.issuer},
            "aud": {"essential": True, "value": upstream.client_id},
        },
        {"nonce": nonce, "client_id": upstream.client_id, "access_token": token.get("access_token")},
    )
    claims.validate(now=int(now.timestamp()), leeway=LEEWAY_S)
    told = decoded.claims
    if not isinstance(told["sub"], str) or not 0 < len(told["sub"]) <= 255 or not told["sub"].isprintable():
        raise ValueError("the subject is none")
    proposed = told.get("preferred_username") or str(told.get("email") or "").partition("@")[0] or told.get("name")
    auth_time = told.get("auth_time")
    return Vouched(
        subject=told["sub"],
        proposed_name=str(proposed or ""),
        authenticated_at=datetime.fromtimestamp(auth_time, UTC) if auth_time else NEVER,
    )


def _user(told: dict[str, Any]) -> Vouched:
    """The number is the person's for good; the login can be changed, and then be another's."""
    number = told["id"]
    if type(number) is not int or not 0 < number < 2**63:
        raise ValueError("the subject is none")
    return Vouched(subject=str(number), proposed_name=str(told.get("login") or ""), authenticated_at=NEVER)


async def _document(upstream: Upstream, address: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    try:
        async with httpx2.AsyncClient(timeout=ANSWERS_WITHIN_S, headers=headers) as client:
            answer = (await client.get(address)).raise_for_status().json()
    except (httpx2.HTTPError, ValueError) as fault:
        raise _away(upstream, "it does not answer") from fault
    if not isinstance(answer, dict):
        raise _away(upstream, "it answers otherwise than an issuer does")
    return cast("dict[str, Any]", answer)


def _endpoint(upstream: Upstream, told: dict[str, Any], name: str) -> str:
    address = told.get(name)
    if not isinstance(address, str) or urlsplit(address).scheme not in {"https", urlsplit(upstream.issuer).scheme}:
        raise _away(upstream, f"it names no {name}")
    return address


def _away(upstream: Upstream, why: str) -> Unavailable:
    return Unavailable(
        f"{upstream.name} cannot be asked who you are: {why}",
        hint="Try again in a moment; a local password still works.",
    )
