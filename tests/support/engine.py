"""The engine as it is, asked past our own code."""

from __future__ import annotations

import asyncio
from time import monotonic

INSTANCE = "clawbench.instance"
GONE_WITHIN_S = 15.0


async def docker(*arguments: str) -> str:
    """What the docker program prints."""
    program = await asyncio.create_subprocess_exec(
        "docker", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await program.communicate()
    assert program.returncode == 0, err.decode()
    return out.decode()


async def containers_of(instance: str) -> list[str]:
    """Sandbox ids of the containers labelled with an installation, running or not."""
    return await _labelled(f"{INSTANCE}={instance}", '{{.Label "clawbench.sandbox"}}')


async def left_of(instance: str) -> list[str]:
    """Those that are still there after what was under way had time to end: a score is told before its sandboxes go."""
    until = monotonic() + GONE_WITHIN_S
    while (left := await containers_of(instance)) and monotonic() < until:  # noqa: ASYNC110 - the engine tells nobody
        await asyncio.sleep(0.05)
    return left


async def container_of(sandbox_id: str) -> str | None:
    """The container that is a sandbox, running or not."""
    found = await _labelled(f"clawbench.sandbox={sandbox_id}", "{{.ID}}")
    return found[0] if found else None


async def remove_containers_of(instance: str) -> None:
    """What a broken test left; nothing of anybody else."""
    left = await _labelled(f"{INSTANCE}={instance}", "{{.ID}}")
    if left:
        await docker("rm", "-f", *left)


async def _labelled(label: str, shown: str) -> list[str]:
    return (await docker("ps", "-a", "--filter", f"label={label}", "--format", shown)).split()
