"""OAuth clients: the programs that people let act as their agent."""

from __future__ import annotations

from dataclasses import dataclass

AUTHORIZATION_CODE_GRANT = "authorization_code"
REFRESH_TOKEN_GRANT = "refresh_token"  # noqa: S105 - the name of a grant
DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"

REGISTERED_GRANTS = (AUTHORIZATION_CODE_GRANT, REFRESH_TOKEN_GRANT)
"""What every client that registers itself may use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A public client: it has an id and a name, and no secret."""

    id: str
    name: str
    grant_types: frozenset[str]
    redirect_uris: tuple[str, ...] = ()


CLI = Client(
    id="clawbench-cli", name="the ClawBench CLI", grant_types=frozenset({DEVICE_CODE_GRANT, REFRESH_TOKEN_GRANT})
)

KNOWN_CLIENTS = {CLI.id: CLI}
"""Clients that nobody registers."""
