"""The campaign's sandboxes as the engine has them: looked into and broken from outside."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections import Counter
from collections.abc import Mapping

from tests.faults.ledger import Ledger
from tests.support.engine import INSTANCE, docker


async def _docker(*arguments: str) -> bytes | None:
    """What the docker program prints; None when it fails: the container may be gone by now."""
    program = await asyncio.create_subprocess_exec(
        "docker", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await program.communicate()
    return out if program.returncode == 0 else None


async def running(instance: str) -> list[str]:
    """Names of this world's running containers, in order."""
    shown = await docker("ps", "--filter", f"label={INSTANCE}={instance}", "--format", "{{.Names}}")
    return sorted(shown.split())


async def kill(name: str) -> bool:
    return await _docker("kill", name) is not None


async def stop_runner(name: str) -> bool:
    """Stop the runner inside; what it started goes on."""
    return await _docker("kill", "--signal", "STOP", name) is not None


async def wake_runner(name: str) -> bool:
    return await _docker("kill", "--signal", "CONT", name) is not None


async def note_effects(ledger: Ledger, run_id: str) -> None:
    """Read what the sandbox itself counted, if it is still there."""
    packed = await _docker("cp", f"clawbench-cb-{run_id}:/app/effects", "-")
    if packed is not None:
        ledger.effects[run_id] = lines_of(files_of(packed))


def files_of(packed: bytes) -> dict[str, str]:
    """The text of every file in a tar, by the last part of its name."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        opened = ((member.name.split("/")[-1], archive.extractfile(member)) for member in archive)
        return {name: stream.read().decode() for name, stream in opened if stream is not None}


def lines_of(files: Mapping[str, str]) -> Counter[str]:
    """The lines of the effect file."""
    return Counter(files.get("effects", "").split())
