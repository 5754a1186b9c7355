"""``clawbench`` as its users start it: the console script, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

CLAWBENCH = Path(sys.executable).with_name("clawbench")
SETUP_LINE = re.compile(r"setup: (?P<link>http://\S+/setup\?token=[\w-]{43})  \(.+\)\n")
"""What a server prints after its ready line, where nobody has an account yet."""
STARTED_WITHIN_S = 60.0
STOPPED_WITHIN_S = 30.0


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A program that came to its end."""

    code: int
    out: str
    err: str


@dataclass(slots=True, kw_only=True)
class Installation:
    """One data directory and one port: what belongs to one ClawBench on one host."""

    directory: Path
    port: int = field(default_factory=free_port)
    more: dict[str, str] = field(default_factory=dict[str, str])
    """Further environment variables."""
    server: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the server said on stderr."""
        return self.directory.parent / f"{self.directory.name}.log"

    def environment(self) -> dict[str, str]:
        """Ours without anything that would lead to another installation."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CLAWBENCH_") and k != "DATABASE_URL"}
        ours = {
            "CLAWBENCH_DATA_DIR": str(self.directory),
            "CLAWBENCH_PORT": str(self.port),
            "HOME": str(self.directory.parent / f"{self.directory.name}-home"),
            "NO_COLOR": "1",
        }
        return {**kept, **ours, **self.more}

    @contextlib.asynccontextmanager
    async def spawn(self, *arguments: str) -> AsyncGenerator[asyncio.subprocess.Process]:
        """A command while it runs; killed if the test leaves before its end."""
        program = await asyncio.create_subprocess_exec(
            CLAWBENCH,
            *arguments,
            env=self.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield program
        finally:
            if program.returncode is None:
                program.kill()
                await program.communicate()

    async def run(self, *arguments: str) -> Ended:
        """A command to its end."""
        async with self.spawn(*arguments) as program:
            out, err = await program.communicate()
        assert program.returncode is not None
        return Ended(code=program.returncode, out=out.decode(), err=err.decode())

    async def ok(self, *arguments: str) -> str:
        """What a command that must succeed printed."""
        ended = await self.run(*arguments)
        assert ended.code == 0, (arguments, ended)
        return ended.out

    async def up(self) -> str:
        """Start the server; its first line."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.server = await asyncio.create_subprocess_exec(
                CLAWBENCH,
                "up",
                env=self.environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self.server.stdout is not None
        async with asyncio.timeout(STARTED_WITHIN_S):
            line = await self.server.stdout.readline()
        assert line, self.log.read_text()
        return line.decode()

    async def kill(self) -> None:
        """Like a power cut for the server process."""
        await self._end(signal.SIGKILL)

    async def down(self) -> str:
        """Stop as an operator does; what else the server printed."""
        return await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> str:
        if self.server is None:
            return ""
        server, self.server = self.server, None
        if server.returncode is None:
            server.send_signal(how)
        async with asyncio.timeout(STOPPED_WITHIN_S):
            out, _ = await server.communicate()
        return out.decode()
