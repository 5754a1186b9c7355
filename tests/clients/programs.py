"""Claude Code, Codex and OpenCode as their users start them: how each is told of a server, signs in, and is run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.clients.npm import MACHINE
from tests.support.process import Ended

SERVER = "clawbench"
PROMPT = "Run a ClawBench task and finalize it."
RUN_WITHIN_S = 300.0
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One client's home, with nothing in it that another left, and the two servers that it knows."""

    packages: Path
    home: Path
    server: str
    model: str = NOWHERE

    @property
    def mcp(self) -> str:
        return f"{self.server}/mcp"

    @property
    def work(self) -> Path:
        """Where the client is started; Claude Code trusts no home directory."""
        return self.home / "project"

    @property
    def _opened(self) -> Path:
        return self.home / "opened"

    def opened_addresses(self) -> list[str]:
        """What the client opened in a browser until now."""
        return self._opened.read_text().split() if self._opened.is_file() else []

    def environment(self) -> dict[str, str]:
        """What a client needs of ours; the rest of the network is behind a proxy that is not there."""
        shims = self.home / "bin"
        return {
            "HOME": str(self.home),
            "PATH": f"{shims}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "BROWSER": str(shims / "xdg-open"),
            "TERM": "dumb",
            "NO_COLOR": "1",
            "HTTP_PROXY": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
            "NO_PROXY": "127.0.0.1,localhost",
            "http_proxy": NOWHERE,
            "https_proxy": NOWHERE,
            "no_proxy": "127.0.0.1,localhost",
        }

    def prepare(self) -> None:
        """Make the home, and in it the program that stands for a browser."""
        shims = self.home / "bin"
        shims.mkdir(parents=True)
        self.work.mkdir()
        for name in ("xdg-open", "sensible-browser", "www-browser"):
            (shims / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >>"{self._opened}"\n')
            (shims / name).chmod(0o755)

    def token(self) -> dict[str, str]:
        """The variable with the token, where the client's configuration names one."""
        kept = self.home / "token"
        return {"TOKEN": kept.read_text()} if kept.is_file() else {}

    @contextlib.asynccontextmanager
    async def spawn(
        self, *command: str | Path, more: Mapping[str, str] | None = None
    ) -> AsyncGenerator[asyncio.subprocess.Process]:
        """A program in this home while it runs."""
        program = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.work,
            env={**self.environment(), **(more or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            yield program
        finally:
            _end_with_children(program)
            await program.communicate()

    @contextlib.asynccontextmanager
    async def at_terminal(
        self, *command: str | Path, more: Mapping[str, str] | None = None
    ) -> AsyncGenerator[tuple[asyncio.subprocess.Process, bytearray]]:
        """The same with a terminal, and what it shows there: some clients log in nowhere else."""
        ours, its = pty.openpty()
        shown, loop = bytearray(), asyncio.get_running_loop()

        def read() -> None:
            try:
                shown.extend(os.read(ours, 65536))
            except OSError:  # the program has closed its side
                loop.remove_reader(ours)

        loop.add_reader(ours, read)
        try:
            program = await asyncio.create_subprocess_exec(
                *command,
                cwd=self.work,
                env={**self.environment(), **(more or {})},
                stdin=its,
                stdout=its,
                stderr=its,
                start_new_session=True,
            )
            os.close(its)
            try:
                yield program, shown
            finally:
                _end_with_children(program)
                await program.wait()
        finally:
            loop.remove_reader(ours)
            os.close(ours)

    async def ended(self, *command: str | Path, more: Mapping[str, str] | None = None) -> Ended:
        """A program to its end."""
        async with self.spawn(*command, more=more) as program, asyncio.timeout(RUN_WITHIN_S):
            out, err = await program.communicate()
        assert program.returncode is not None
        return Ended(code=program.returncode, out=out.decode(), err=err.decode())

    async def ok(self, *command: str | Path, more: Mapping[str, str] | None = None) -> str:
        """What a program that must succeed printed."""
        ended = await self.ended(*command, more=more)
        assert ended.code == 0, (command, ended)
        return ended.out


def _end_with_children(program: asyncio.subprocess.Process) -> None:
    """Some clients leave a process behind that goes on writing in the home."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)


class Client(Protocol):
    """What the canary asks of a client."""

    @property
    def name(self) -> str:
        """As ``clawbench mcp config`` knows it."""
        ...

    @property
    def calls_itself(self) -> str:
        """The name under which it registers."""
        ...

    @property
    def package(self) -> str:
        """The npm package that brings it."""
        ...

    @property
    def asks_a_helper(self) -> bool:
        """Whether it can ask a program for its headers."""
        ...

    def prepare(self, place: Place) -> None:
        """Tell it of the scripted model."""
        ...

    async def add_with_token(self, place: Place, token: str) -> None:
        """The server with a bearer token, as the README says."""
        ...

    def environment(self, place: Place) -> dict[str, str]:
        """What it needs besides a home."""
        ...

    def login(self, place: Place) -> tuple[str | Path, ...]:
        """The command that signs in with a browser."""
        ...

    def conversation(self, place: Place) -> tuple[str | Path, ...]:
        """The command of one headless conversation, with the prompt."""
        ...


async def add(client: Client, place: Place, auth: str) -> None:
    """The server, as ``clawbench mcp config`` puts it into the client's own file."""
    await place.ok("clawbench", "mcp", "config", client.name, "--server", place.server, "--auth", auth, "--install")


class ClaudeCode:
    """Anthropic's, over the Messages API."""

    name = "claude"
    calls_itself = f"Claude Code ({SERVER})"
    package = "@anthropic-ai/claude-code"
    asks_a_helper = True

    def _program(self, place: Place) -> Path:
        return place.packages / "@anthropic-ai" / f"claude-code-linux-{MACHINE}" / "claude"

    def environment(self, place: Place) -> dict[str, str]:
        return {
            "ANTHROPIC_BASE_URL": place.model,
            "ANTHROPIC_API_KEY": "scripted",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        }

    def prepare(self, place: Place) -> None:
        """Its environment says all."""

    async def add_with_token(self, place: Place, token: str) -> None:
        to = ("--transport", "http", SERVER, place.mcp, "--header", f"Authorization: Bearer {token}")
        await place.ok(self._program(place), "mcp", "add", *to, more=self.environment(place))

    def login(self, place: Place) -> tuple[str | Path, ...]:
        return (self._program(place), "mcp", "login", SERVER)

    def conversation(self, place: Place) -> tuple[str | Path, ...]:
        return (self._program(place), "-p", PROMPT, "--allowedTools", f"mcp__{SERVER}")


class Codex:
    """OpenAI's, over the Responses API."""

    name = "codex"
    calls_itself = "Codex"
    package = "@openai/codex"
    asks_a_helper = True

    def _program(self, place: Place) -> Path:
        (found,) = (place.packages / "@openai" / f"codex-linux-{MACHINE}" / "vendor").glob("*/bin/codex")
        return found

    def prepare(self, place: Place) -> None:
        """With patience: by itself Codex begins without the tools of a server that is not there within a second."""
        directory = place.home / ".codex"
        directory.mkdir(exist_ok=True)
        (directory / "config.toml").write_text(f"""\
model = "scripted"
model_provider = "scripted"
mcp_oauth_credentials_store = "file"
mcp_optional_startup_grace_ms = 30000

[model_providers.scripted]
name = "scripted"
base_url = "{place.model}/v1"
wire_api = "responses"
""")

    async def add_with_token(self, place: Place, token: str) -> None:
        with (place.home / ".codex" / "config.toml").open("a") as file:
            file.write(f'[mcp_servers.{SERVER}]\nurl = "{place.mcp}"\nbearer_token_env_var = "TOKEN"\n')
        (place.home / "token").write_text(token)

    def login(self, place: Place) -> tuple[str | Path, ...]:
        return (self._program(place), "mcp", "login", SERVER)

    def environment(self, place: Place) -> dict[str, str]:
        return place.token()

    def conversation(self, place: Place) -> tuple[str | Path, ...]:
        return (self._program(place), "exec", "--skip-git-repo-check", "--sandbox", "read-only", PROMPT)


class OpenCode:
    """The open one, over Chat Completions."""

    name = "opencode"
    calls_itself = "OpenCode"
    package = "opencode-linux-x64"
    asks_a_helper = False

    def _program(self, place: Place) -> Path:
        return place.packages / f"opencode-linux-{MACHINE}" / "bin" / "opencode"

    def prepare(self, place: Place) -> None:
        provider: dict[str, object] = {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": f"{place.model}/v1", "apiKey": "scripted"},
            "models": {"scripted": {}},
        }
        directory = place.home / ".config" / "opencode"
        directory.mkdir(parents=True)
        (directory / "opencode.json").write_text(json.dumps({"provider": {"scripted": provider}}))

    async def add_with_token(self, place: Place, token: str) -> None:
        headers = {"Authorization": "Bearer {env:TOKEN}"}
        server = {"type": "remote", "url": place.mcp, "oauth": False, "headers": headers}
        (place.work / "opencode.json").write_text(json.dumps({"mcp": {SERVER: server}}))
        (place.home / "token").write_text(token)

    def login(self, place: Place) -> tuple[str | Path, ...]:
        return (self._program(place), "mcp", "auth", SERVER)

    def environment(self, place: Place) -> dict[str, str]:
        return {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1", **place.token()}

    def conversation(self, place: Place) -> tuple[str | Path, ...]:
        return (self._program(place), "run", "--model", "scripted/scripted", PROMPT)


CLIENTS: tuple[Client, ...] = (ClaudeCode(), Codex(), OpenCode())
