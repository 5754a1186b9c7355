"""How the engine and one container are doing."""

from __future__ import annotations

from typing import cast

from sandbox_providers.contract import Health, Problem
from sandbox_providers.docker.container import is_frozen
from sandbox_providers.docker.engine import Engine, Json
from sandbox_providers.errors import SandboxError, SandboxFrozen, SandboxGone, SandboxUnavailable

_OLDEST_API = (1, 41)
_EXIT_TTL = 0
_SIGKILL = 128 + 9


async def examine(engine: Engine) -> list[Problem]:
    """What stands between this engine and a sandbox as hardened as promised."""
    if not engine.attachable:
        detail = "the runner is spoken with over a plain socket, which this address does not give"
        fix = "use a unix:// or tcp:// address, for example through ssh -L"
        return [Problem(code="address_unsupported", detail=detail, fix=fix, fatal=True)]
    try:
        version = await engine.call(lambda client: cast(Json, client.version()))
        info = await engine.call(lambda client: cast(Json, client.info()))
    except SandboxError as error:
        fix = "start Docker, or let DOCKER_HOST name an engine that answers, with this user allowed on its socket"
        return [Problem(code="engine_unreachable", detail=str(error), fix=fix, fatal=True)]
    problems = list[Problem]()
    if tuple(int(part) for part in version["ApiVersion"].split(".")) < _OLDEST_API:
        detail = f"the engine speaks API {version['ApiVersion']}"
        problems.append(
            Problem(code="engine_too_old", detail=detail, fix="upgrade to Docker 20.10 or newer", fatal=True)
        )
    if info["OSType"] != "linux":
        problems.append(Problem(code="not_linux", detail=info["OSType"], fix="switch to Linux containers", fatal=True))
    return problems + _missing_limits(info)


def _missing_limits(info: Json) -> list[Problem]:
    security = cast(list[str], info.get("SecurityOptions") or [])
    missing = {
        "memory limit": not info.get("MemoryLimit"),
        "process limit": not info.get("PidsLimit"),
        "cpu limit": not info.get("CpuCfsQuota"),
        "seccomp": not any("seccomp" in option for option in security),
    }
    fix = "use a kernel and engine with cgroup limits and seccomp enabled"
    return [
        Problem(code="no_" + what.replace(" ", "_"), detail=f"the engine offers no {what}", fix=fix, fatal=True)
        for what, lacks in missing.items()
        if lacks
    ]


def health_of(container: Json) -> Health:
    state = container["State"]
    if state["Paused"]:
        return Health(state="unreachable", why="somebody has paused it", caused_by="platform")
    if state["Running"]:
        return Health(state="running")
    if is_frozen(container):
        return Health(state="frozen")
    if state["Status"] == "created":
        return Health(state="gone", why="it was never started", caused_by="platform")
    code = state["ExitCode"]
    if state["OOMKilled"]:
        return Health(state="gone", why="it ran out of memory", caused_by="agent")
    if code == _EXIT_TTL:
        return Health(state="gone", why="its time to live passed", caused_by="platform")
    why = "it was killed from outside" if code == _SIGKILL else f"its runner ended with code {code}"
    return Health(state="gone", why=why, caused_by="platform" if code == _SIGKILL else "unknown")


def why_silent(health: Health) -> SandboxError | None:
    """The error that explains why a runner does not answer; None if nothing does."""
    if health.state == "frozen":
        return SandboxFrozen("the sandbox is frozen")
    if health.state == "gone":
        return SandboxGone(f"the sandbox has ended: {health.why}")
    if health.state == "unreachable":
        return SandboxUnavailable(f"the sandbox cannot be reached: {health.why}")
    return None
