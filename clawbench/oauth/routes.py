"""The authorization server's routes."""

from __future__ import annotations

from starlette.routing import Route

from clawbench.oauth import authorize, device, metadata, register, token
from clawbench.oauth.core import Workers


def routes() -> list[Route]:
    """Metadata, and every endpoint that it names but the people's pages."""
    workers = Workers()
    return [
        *metadata.routes(),
        *register.routes(),
        *authorize.routes(workers),
        *device.routes(workers),
        *token.routes(workers),
    ]
