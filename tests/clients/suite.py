"""The MCP conformance suite, as a program."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from tests.clients.npm import node

WITHIN_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the suite made of a server."""

    code: int
    told: str

    def of(self, scenarios: set[str]) -> str:
        """How many of these passed whole."""
        passed = set(re.findall(r"^✓ (\S+): \d+ passed, 0 failed", self.told, re.MULTILINE))
        return f"{len(passed & scenarios)} of {len(scenarios)} required scenarios pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Where it is installed, and where it may write its results."""

    packages: Path
    results: Path

    @property
    def _package(self) -> Path:
        return self.packages / "@modelcontextprotocol" / "conformance"

    def required(self, revision: str) -> set[str]:
        """The scenarios that a server of this revision has to pass."""
        listed = (self._package / "requirements" / f"{revision}.yaml").read_text()
        of_servers = listed.partition("\nserver:\n")[2].partition("\n\n")[0]
        return set(re.findall(r"^  - (\S+)$", of_servers, re.MULTILINE))

    @contextlib.asynccontextmanager
    async def spawn(self, *arguments: str) -> AsyncGenerator[asyncio.subprocess.Process]:
        """The suite while it runs."""
        program = await asyncio.create_subprocess_exec(
            node(self.packages),
            self._package / "dist" / "index.js",
            *arguments,
            *("--output-dir", str(self.results)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(WITHIN_S):
                yield program
        finally:
            if program.returncode is None:
                program.kill()
                await program.communicate()

    async def run(self, *arguments: str) -> Verdict:
        """The suite to its end."""
        async with self.spawn(*arguments) as program:
            told, _ = await program.communicate()
        assert program.returncode is not None
        return Verdict(code=program.returncode, told=told.decode())
