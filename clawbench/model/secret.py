"""Secrets that are shown once and kept only as their SHA-256."""

from __future__ import annotations

import secrets
from hashlib import sha256

ACCESS_TOKEN_PREFIX = "cbt_"  # noqa: S105 - a prefix that secret scanners can find, not a secret
REFRESH_TOKEN_PREFIX = "cbr_"  # noqa: S105
WORKER_TOKEN_PREFIX = "cbw_"  # noqa: S105
API_KEY_PREFIX = "cbk_"
USER_CODE_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628 §6.1: consonants only, so that no words appear and nothing looks like a digit."""


def new_secret(prefix: str = "") -> str:
    """Thirty-two random bytes, safe in URLs, headers and cookies."""
    return prefix + secrets.token_urlsafe(32)


def hashed(secret: str) -> bytes:
    """What is stored of a secret; random enough that it needs no salt."""
    return sha256(secret.encode()).digest()


def new_user_code() -> str:
    """Eight letters that a person types."""
    return "".join(secrets.choice(USER_CODE_ALPHABET) for _ in range(8))


def shown(user_code: str) -> str:
    """The code as people see it: ``WDJB-MJHT``."""
    return f"{user_code[:4]}-{user_code[4:]}"


def typed(user_code: str) -> str:
    """The code as stored, from whatever a person typed: case, spaces and dashes do not matter."""
    return "".join(letter for letter in user_code.upper() if letter.isalnum())
