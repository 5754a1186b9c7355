"""What every HTTP door does first: find the app's deps, read a small form, know the caller's address."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Literal, Protocol, cast
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, HTTPConnection, Request

from clawbench.errors import InvalidArguments, NotPermitted
from clawbench.model.caller import OFFERED_SCOPES
from clawbench.settings import Settings
from clawbench.store.db import Pool

LARGEST_FORM = 16 * 1024


class DoorDeps(Protocol):
    """The part of the app's deps that signing in needs."""

    @property
    def pool(self) -> Pool: ...
    @property
    def settings(self) -> Settings: ...


def deps_of(connection: HTTPConnection) -> DoorDeps:
    """The deps that the composition root put on the app."""
    return cast(DoorDeps, connection.app.state.deps)


def challenge(origin: str, *, error: Literal["invalid_token", "insufficient_scope"] | None = None) -> str:
    """The ``WWW-Authenticate`` value that leads a client to the metadata (RFC 6750 §3, RFC 9728 §5.1)."""
    why = f'error="{error}", ' if error else ""
    metadata = f"{origin}/.well-known/oauth-protected-resource/mcp"
    return f'Bearer {why}resource_metadata="{metadata}", scope="{" ".join(OFFERED_SCOPES)}"'


def address_of(connection: HTTPConnection) -> str:
    """Where the request came from, for counting attempts; behind a proxy the server must trust its headers.

    Of IPv6 it is the network: whoever has one address has the 2⁶⁴ beside it.
    """
    host = connection.client.host if connection.client else "unknown"
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return host
    return str(address.ipv4_mapped or ip_network((int(address), 64), strict=False))


def require_navigation(request: Request) -> None:
    """Let only a browser in that was sent here, none that has to show this as an image or the like of another page.

    Raises:
        NotPermitted: it was another page's doing, which could use up the tries of the person who reads it.
    """
    if request.headers.get("sec-fetch-dest", "document") != "document":
        raise NotPermitted("this is a page of its own", hint="Open it in a browser.")


async def read_body(request: Request) -> bytes:
    """The body of a small request.

    Raises:
        InvalidArguments: it is too large, or was cut short.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_FORM:
                raise InvalidArguments("the form is too large")
    except ClientDisconnect as gone:
        raise InvalidArguments("the form was cut short") from gone
    return bytes(body)


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a posted form.

    Raises:
        InvalidArguments: not a form, too large, a field given twice, or characters that no field has.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidArguments("send a form (application/x-www-form-urlencoded)")
    body = await read_body(request)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=32, errors="strict")
    except ValueError as fault:
        raise InvalidArguments("the form is not readable") from fault
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidArguments("a field is given more than once")
    if any("\0" in value for value in fields.values()):
        raise InvalidArguments("a field holds a character that no field has")
    return fields
