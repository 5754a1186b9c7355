"""Redirect URIs: which a client may register, which of them it may ask for, and how an answer goes back to one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode

LONGEST = 1000

# The characters of a URI (RFC 3986) without '#': a redirect URI has no fragment.
_URI = re.compile(
    r"""
    (?P<scheme>[a-z][a-z0-9+.-]*):
    (?://(?P<authority>[A-Za-z0-9._~:%\[\]@!$&'()*+,;=-]*))?
    (?P<rest>/[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*|\?[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*|)
    """,
    re.VERBOSE,
)
_HOST_AND_PORT = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?"
)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_NOT_AN_APPS = frozenset(
    {
        *("about", "blob", "chrome", "cid", "content", "data", "file", "filesystem", "ftp", "ftps", "gopher", "intent"),
        *("jar", "javascript", "mailto", "mid", "resource", "sms", "ssh", "tel", "urn", "vbscript", "view-source"),
        *("brave", "search-ms", "ws", "wss"),
    }
)
"""Schemes that browsers or mail programs act on themselves."""
_NOT_AN_APPS_BEGIN = ("ms-", "microsoft-edge", "firefox", "googlechrome", "opera-http", "touch-http", "x-safari-")
"""Windows' own, and those with which a browser is told to open a web site: an answer would go there, unnamed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """A redirect URI that a client may have, taken apart."""

    scheme: str
    host: str | None
    port: str | None
    rest: str

    @property
    def is_loopback(self) -> bool:
        """Whether it leads to a program on the person's own computer, listening on some port."""
        return self.scheme == "http"

    @property
    def place(self) -> str:
        """Where it leads, for people: the host and port, or the scheme of an app."""
        if self.host is None:
            return f"{self.scheme}:"
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def csp_source(self) -> str:
        """It, as a source of a Content-Security-Policy; those know no IPv6 addresses."""
        if self.scheme not in ("http", "https") or self.host is None or self.host.startswith("["):
            return f"{self.scheme}:"
        return f"{self.scheme}://{self.place}"


def redirect_of(uri: str) -> Redirect | None:
    """The parts of a redirect URI; None if no client may have it.

    https anywhere, http on the loopback addresses only, and an app's own scheme (RFC 8252 §7.1).
    """
    parts = _URI.fullmatch(uri) if len(uri) <= LONGEST else None
    if parts is None:
        return None
    scheme, authority, rest = parts["scheme"], parts["authority"], parts["rest"]
    if scheme not in ("http", "https"):
        theirs = scheme not in _NOT_AN_APPS and not scheme.startswith(_NOT_AN_APPS_BEGIN)
        hierarchical = bool(authority) or rest.startswith("/")
        if not theirs or not hierarchical or "@" in (authority or ""):
            return None
        return Redirect(scheme=scheme, host=None, port=None, rest=rest)
    place = _HOST_AND_PORT.fullmatch(authority or "")
    if place is None or (place["port"] is not None and not 0 < int(place["port"]) < 65536):
        return None
    if scheme == "http" and place["host"] not in _LOOPBACK:
        return None
    return Redirect(scheme=scheme, host=place["host"], port=place["port"], rest=rest)


def may_redirect(registered: str, asked: str) -> bool:
    """Whether the URI asked for is the registered one; the port of a loopback URI may be any (RFC 8252 §7.3)."""
    mine, theirs = redirect_of(registered), redirect_of(asked)
    if mine is None or theirs is None:
        return False
    if registered == asked:
        return True
    return mine.is_loopback and theirs.is_loopback and (mine.host, mine.rest) == (theirs.host, theirs.rest)


def answered(redirect_uri: str, *, issuer: str, state: str | None, **told: str) -> str:
    """The redirect URI with an answer in its query: with the client's state, and who answers (RFC 9207)."""
    fields = {**told, **({} if state is None else {"state": state}), "iss": issuer}
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(fields, quote_via=quote)}"
