"""Who this person is at which server: ``~/.config/clawbench/credentials.json``, readable by its owner only.

Always below the home directory, whatever ``XDG_CONFIG_HOME`` says: MCP clients start their header helper with little
more than ``HOME``, and it has to find what ``clawbench login`` left. Read without pydantic, whose import would cost a
helper more than all of its work.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clawbench.errors import ClawBenchError, InvalidArguments, NotAuthenticated, Refused

RENEW_BEFORE = timedelta(minutes=5)
"""A token with less than this left is renewed before it is handed to anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A sign-in at one server."""

    server: str
    access_token: str = field(repr=False)
    expires_at: datetime
    refresh_token: str | None = field(default=None, repr=False)
    agent_name: str
    scopes: tuple[str, ...]

    @property
    def has_expired(self) -> bool:
        """Whether the access token is good no more."""
        return self._left <= timedelta()

    @property
    def wants_renewal(self) -> bool:
        """Whether the access token should be traded for one that lasts, if that can be done."""
        return self.has_expired or (self.refresh_token is not None and self._left < RENEW_BEFORE)

    @property
    def _left(self) -> timedelta:
        return self.expires_at - datetime.now(UTC)


def default_path() -> Path:
    """Where the profiles are kept unless told otherwise."""
    return Path.home() / ".config" / "clawbench" / "credentials.json"


def server_url(text: str) -> str:
    """The server's origin, as profiles are filed: ``https://host`` from whatever a person typed.

    Raises:
        InvalidArguments: not an http or https URL.
    """
    wrong = InvalidArguments(f"{text!r} is not the URL of a server", hint="Give one like https://clawbench.example.")
    try:
        parts = urlsplit(text.strip())
        _ = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise wrong
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/').removesuffix('/mcp')}"


def require_private_way(server: str) -> None:
    """Make sure that nobody on the way to a server can read the tokens that it gives.

    Raises:
        Refused: it is http, and not on this machine.
    """
    parts = urlsplit(server_url(server))
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise Refused(
            f"{server} is http, so whoever is on the way to it could read and use your tokens",
            hint="Give its https URL; with --insecure, you trust everybody on the way.",
        )


def the_server(named: str | None, *, path: Path | None = None) -> str:
    """The server a command is about: the named one, or the only one there is a profile for.

    Raises:
        InvalidArguments: none is named, and there is not exactly one profile.
    """
    if named is not None:
        return server_url(named)
    match servers(path=path):
        case [only]:
            return only
        case []:
            raise InvalidArguments("which server? You are signed in to none", hint="Name it: --server URL.")
        case several:
            raise InvalidArguments(
                "which server? You are signed in to several", hint=f"--server {' or '.join(several)}"
            )


def load_profile(server: str, *, path: Path | None = None) -> Profile | None:
    """The profile for a server, if there is one.

    Raises:
        Refused: the file is there and cannot be understood.
    """
    return _read(path or default_path()).get(server_url(server))


def save_profile(profile: Profile, *, path: Path | None = None) -> None:
    """Keep a profile, in place of the one for the same server."""
    path = path or default_path()
    with locked(path):
        _write(path, {**_read(path), server_url(profile.server): profile})


def remove_profile(server: str, *, path: Path | None = None) -> Profile | None:
    """Forget the profile for a server; what was forgotten, if there was one."""
    path = path or default_path()
    with locked(path):
        profiles = dict(_read(path))
        removed = profiles.pop(server_url(server), None)
        if removed is not None:
            _write(path, profiles)
        return removed


def servers(*, path: Path | None = None) -> list[str]:
    """The servers there are profiles for."""
    return sorted(_read(path or default_path()))


def fresh_profile(server: str, renew: Callable[[Profile], Profile], *, path: Path | None = None) -> Profile:
    """The profile with a token that lasts; of several processes one has it renewed, and the others take what it got.

    Raises:
        NotAuthenticated: not signed in, or the server takes the refresh token no more.
        Unavailable: the token has expired, and the server does not answer.
    """
    path, server = path or default_path(), server_url(server)
    profile = _signed_in(server, path)
    if not profile.wants_renewal:
        return profile
    with locked(path):
        profile = _signed_in(server, path)
        if not profile.wants_renewal:
            return profile
        try:
            renewed = renew(profile)
        except NotAuthenticated:
            raise
        except ClawBenchError:
            if profile.has_expired:
                raise
            return profile
        _write(path, {**_read(path), server: renewed})
        return renewed


def login_needed(server: str, why: str) -> NotAuthenticated:
    """The error that leads to ``clawbench login``."""
    return NotAuthenticated(why, hint=f"clawbench login --server {server}")


@contextmanager
def locked(path: Path) -> Generator[None]:
    """One process at a time reads, changes and writes the file.

    Raises:
        Refused: this is not ours to write.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.parent.chmod(0o700)
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise _unusable(path, fault) from fault
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _signed_in(server: str, path: Path) -> Profile:
    profile = load_profile(server, path=path)
    if profile is None:
        raise login_needed(server, f"not signed in to {server}")
    return profile


def _read(path: Path) -> Mapping[str, Profile]:
    try:
        entries: dict[str, dict[str, Any]] = json.loads(path.read_bytes())["servers"]
        return {server: _profile(server, entry) for server, entry in entries.items()}
    except FileNotFoundError:
        return {}
    except OSError as fault:
        raise _unusable(path, fault) from fault
    except (ValueError, KeyError, TypeError, AttributeError):
        # from None: the cause would show what is in the file
        raise Refused(f"{path} cannot be understood", hint="Remove it and log in again.") from None


def _profile(server: str, entry: Mapping[str, Any]) -> Profile:
    expires_at = datetime.fromisoformat(entry["expires_at"])
    texts = (entry["access_token"], entry.get("refresh_token") or "", entry["agent_name"], *entry["scopes"])
    if not all(isinstance(text, str) for text in texts) or expires_at.tzinfo is None:
        raise ValueError
    return Profile(
        server=server,
        access_token=entry["access_token"],
        expires_at=expires_at,
        refresh_token=entry.get("refresh_token"),
        agent_name=entry["agent_name"],
        scopes=tuple(entry["scopes"]),
    )


def _write(path: Path, profiles: Mapping[str, Profile]) -> None:
    """Replace the file in one step; the caller holds the lock, so the name beside it is free."""
    entries = {
        server: {
            "access_token": profile.access_token,
            "expires_at": profile.expires_at.isoformat(),
            "refresh_token": profile.refresh_token,
            "agent_name": profile.agent_name,
            "scopes": profile.scopes,
        }
        for server, profile in profiles.items()
    }
    temporary = path.with_suffix(".new")
    try:
        temporary.unlink(missing_ok=True)  # of a process that was killed
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(json.dumps({"servers": entries}, indent=2) + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(path)
    except OSError as fault:
        temporary.unlink(missing_ok=True)
        raise _unusable(path, fault) from fault


def _unusable(path: Path, fault: OSError) -> Refused:
    return Refused(f"{path} cannot be used: {fault.strerror}", hint="Its directory must be yours and writable.")
