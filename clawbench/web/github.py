"""GitHub, which speaks OAuth 2.0 but not OpenID: what others publish of themselves is written down here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHub:
    """Where GitHub is asked, and as whom it answers."""

    issuer: str
    """What the operator configures, and what its identities are kept under."""
    authorization_endpoint: str
    token_endpoint: str
    user_endpoint: str
    """It tells whose access token this is."""
    auth_method: str
    answers_as: str
    """Its ``iss`` on answers (RFC 9207), since April 2026."""
    names_itself: bool


GITHUB = GitHub(
    issuer="https://github.com",
    authorization_endpoint="https://github.com/login/oauth/authorize",
    token_endpoint="https://github.com/login/oauth/access_token",  # noqa: S106 — an address
    user_endpoint="https://api.github.com/user",
    auth_method="client_secret_post",
    answers_as="https://github.com/login/oauth",
    names_itself=False,
)
