"""MCP clients' own configuration: what to put into it for a ClawBench server, and putting it there without harm."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from clawbench.errors import InvalidArguments, Refused

Table = dict[str, Any]


class Client(StrEnum):
    """The clients whose configuration is known."""

    CLAUDE = "claude"
    CODEX = "codex"
    OPENCODE = "opencode"
    CURSOR = "cursor"


class Auth(StrEnum):
    """How a client gets its token."""

    OAUTH = "oauth"
    """It signs in by itself, in the person's browser."""
    HEADERS = "headers"
    """It asks ``clawbench auth headers``, which has what ``clawbench login`` got."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One server in one client's configuration."""

    client: Client
    name: str
    value: Mapping[str, str]

    @property
    def table(self) -> str:
        """The key below which the client keeps its servers."""
        return {Client.CODEX: "mcp_servers", Client.OPENCODE: "mcp"}.get(self.client, "mcpServers")

    @property
    def snippet(self) -> str:
        """What the client's file has to hold."""
        if self.client is Client.CODEX:
            return _toml(self)
        return json.dumps({self.table: {self.name: self.value}}, indent=2) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The entry is in the file; ``backup`` is the file as it was, if there was one."""

    backup: Path | None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The entry was there already."""


def entry_for(client: Client, name: str, *, server: str, auth: Auth, helper: str) -> Entry:
    """What a client needs to reach a server; ``helper`` is the shell command that prints the headers.

    Raises:
        InvalidArguments: the client cannot ask a program for its headers, or the name is none for a server.
    """
    if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name) is None:
        raise InvalidArguments(f"{name!r} cannot be the name of a server", hint="Use letters, digits, - and _.")
    value = {"url": f"{server}/mcp"}
    match client, auth:
        case Client.CLAUDE, _:
            value = {"type": "http", **value}
        case Client.OPENCODE, _:
            value = {"type": "remote", **value}
        case _:
            pass
    match client, auth:
        case _, Auth.OAUTH:
            pass
        case Client.CLAUDE, Auth.HEADERS:
            value["headersHelper"] = helper
        case Client.CODEX, Auth.HEADERS:
            value["http_headers_helper"] = helper
        case _:
            raise InvalidArguments(
                f"{client} cannot ask a program for its headers", hint="It signs in by itself: --auth oauth."
            )
    return Entry(client=client, name=name, value=value)


def config_file(client: Client, environment: Mapping[str, str], home: Path) -> Path:
    """Where the client keeps the servers that its user has everywhere."""
    match client:
        case Client.CLAUDE:
            return Path(environment.get("CLAUDE_CONFIG_DIR") or home) / ".claude.json"
        case Client.CODEX:
            return Path(environment.get("CODEX_HOME") or home / ".codex") / "config.toml"
        case Client.OPENCODE:
            directory = Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "opencode"
            with_comments = directory / "opencode.jsonc"
            return with_comments if with_comments.exists() else directory / "opencode.json"
        case Client.CURSOR:
            return home / ".cursor" / "mcp.json"


def install(entry: Entry, path: Path, *, force: bool = False) -> Installed | Unchanged:
    """Put the entry into the file; nothing else in it changes its meaning.

    Raises:
        Refused: the file cannot be understood or written, or has another entry of the name and ``force`` is not given.
    """
    path = path.resolve()  # the file itself, where a link to somewhere else is kept
    try:
        before = path.read_bytes().decode() if path.exists() else None
    except (OSError, ValueError) as fault:
        raise _by_hand(path, "cannot be read") from fault
    shape = _TOML if entry.client is Client.CODEX else _JSON
    try:
        held = shape.parse(before or "")
    except ValueError as fault:
        raise _by_hand(path, f"is not plain {shape.name}") from fault
    known = held.get(entry.table, {})
    if not isinstance(known, dict):
        raise _by_hand(path, f"has something else at {entry.table}")
    servers = cast(Table, known)
    present = servers.get(entry.name)
    if present == entry.value:
        return Unchanged()
    if present is not None and not force:
        raise Refused(
            f"{path} already has another server {entry.name}",
            hint="Replace it with --force, or give this one another --name.",
        )
    wanted = {**held, entry.table: {**servers, entry.name: dict(entry.value)}}
    after = shape.edited(before or "", entry, wanted)
    try:
        if shape.parse(after) != wanted:
            raise ValueError
    except ValueError as fault:
        raise _by_hand(path, "is laid out in a way that this does not edit") from fault
    try:
        return Installed(backup=_replace(path, before, after))
    except OSError as fault:
        raise Refused(f"{path} cannot be written: {fault.strerror}", hint="Nothing was changed.") from fault


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """A file format: how it is read, and how a text becomes one that holds the entry."""

    name: str
    parse: Callable[[str], Table]
    edited: Callable[[str, Entry, Table], str]


def _parse_json(text: str) -> Table:
    held: object = json.loads(text) if text.strip() else {}
    if not isinstance(held, dict):
        raise ValueError("not an object")
    return cast(Table, held)


def _edited_json(before: str, entry: Entry, wanted: Table) -> str:
    """The whole written anew, indented as it was."""
    del entry
    indent = re.search(r'^([ \t]+)"', before, re.MULTILINE)
    one_line = bool(before.strip()) and "\n" not in before.strip()
    text = json.dumps(
        wanted, indent=None if one_line else indent[1] if indent else 2, ensure_ascii=bool(before) and before.isascii()
    )
    # Halves of characters that clients cut in two can stand in JSON only as escapes.
    text = re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text)
    return text + "\n" if not before or before.endswith("\n") else text


def _edited_toml(before: str, entry: Entry, wanted: Table) -> str:
    """The table appended; one that is there is taken out first, with what is below it, but no remark after it."""
    del wanted
    kept: list[str] = []
    remarks: list[str] = []
    ours = False
    for line in before.splitlines(keepends=True):
        header = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line)
        if header is not None:
            parts = [part.strip().strip("\"'") for part in header[1].split(".")]
            ours = parts[:2] == [entry.table, entry.name]
        if not ours:
            kept += [*remarks, line]
            remarks.clear()
        elif line.strip() and not line.lstrip().startswith("#"):
            remarks.clear()
        else:
            remarks.append(line)
    kept += remarks
    text = "".join(kept).rstrip()
    return f"{text}\n\n{_toml(entry)}" if text else _toml(entry)


def _toml(entry: Entry) -> str:
    # A JSON string is a TOML basic string.
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in entry.value.items()]
    return f"[{entry.table}.{entry.name}]\n" + "".join(lines)


_JSON = _Shape(name="JSON", parse=_parse_json, edited=_edited_json)
_TOML = _Shape(name="TOML", parse=tomllib.loads, edited=_edited_toml)


def _replace(path: Path, before: str | None, after: str) -> Path | None:
    """Write in one step, under the mode that the file had; keep what was there beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = 0o600 if before is None else path.stat().st_mode & 0o777
    backup = None if before is None else path.with_name(f"{path.name}.before-clawbench")
    if backup is not None and before is not None:
        _write(backup, before, mode)
    _write(path, after, mode)
    return backup


def _write(path: Path, text: str, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            os.fchmod(descriptor, mode)
            opened.write(text.encode())
            opened.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _by_hand(path: Path, why: str) -> Refused:
    return Refused(f"{path} {why}", hint="Leave out --install and put in by hand what is then printed.")
