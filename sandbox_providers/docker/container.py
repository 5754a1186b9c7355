"""What a sandbox is to the engine: the hardened container config, its labels, and the handle read back from it."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from sandbox_providers.contract import Sandbox, SandboxSpec
from sandbox_providers.docker import seccomp
from sandbox_providers.docker.attach import RUNNER
from sandbox_providers.docker.engine import Json
from sandbox_providers.egress import PROXY_VARIABLES, Allowed, NotAnEntry
from sandbox_providers.errors import SpecRefused

RUNNER_CAPS = ("KILL", "SETGID", "SETUID")
"""What PID 1 needs to start, and to end, processes of another user."""
ROOT_TASK_CAPS = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")
"""What package managers and services need where a task is meant to be done as root."""

LABEL = "clawbench"
MIB = 1 << 20
_RESERVED_PIDS = 8
"""For supervisors and the attached streams, on top of what the task may use."""
_PROXY = "http://127.0.0.1:3128"
"""Where the runner lets programs in that may reach ``egress``."""
_NO_PROXY, _NO_PROXY_VARIABLES = "localhost,127.0.0.1,::1", ("NO_PROXY", "no_proxy")
_FROZEN = "frozen-"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def validate(spec: SandboxSpec) -> None:
    """Raise ``SpecRefused`` for what this provider cannot give exactly as asked."""
    limits = spec.limits
    refusals = {
        "the id may hold letters, digits, _ . - (at most 100)": not _ID.fullmatch(spec.id),
        "the instance is empty": not spec.instance,
        "the image is empty": not spec.image,
        "the user is empty": not spec.user,
        "the workdir is not absolute": not spec.workdir.startswith("/"),
        "less than 0.05 cpus": limits.cpus < 0.05,
        "less than 32 MiB of memory": limits.memory_mb < 32,
        "less than 16 processes": limits.pids < 16,
        "no writable space": limits.disk_mb < 1,
        "the time to live is not positive": spec.ttl_s < 1,
        "an environment name is empty or holds '='": any(not name or "=" in name for name in spec.env),
        "network and egress together": spec.network and bool(spec.egress),
        "the environment names another proxy": bool(spec.egress) and bool(set(spec.env) & {*PROXY_VARIABLES}),
        "a NUL byte": any("\0" in s for s in (spec.user, spec.workdir, spec.image, *spec.env, *spec.env.values())),
    }
    for reason, refused in refusals.items():
        if refused:
            raise SpecRefused(f"sandbox {spec.id!r}: {reason}")
    try:
        Allowed.of(spec.egress)
    except NotAnEntry as error:
        raise SpecRefused(f"sandbox {spec.id!r}: {str(error)!r} is neither host nor host:port") from error


def container_name(sandbox_id: str) -> str:
    return f"clawbench-{sandbox_id}"


def frozen_name(sandbox_id: str) -> str:
    """What a container is called from its freezing on: the one thing of it that can be changed for good, and not from
    inside."""
    return f"{_FROZEN}{container_name(sandbox_id)}"


def is_frozen(container: Json) -> bool:
    return str(container["Name"]).startswith(f"/{_FROZEN}")


def fingerprint(spec: SandboxSpec) -> str:
    # As JSON brings them to a worker elsewhere: there 1 CPU is 1.0.
    limits = replace(spec.limits, cpus=float(spec.limits.cpus))
    plain = asdict(replace(spec, env=dict(spec.env), limits=limits))
    if not spec.egress:
        del plain["egress"]  # as before there was one
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def container_config(spec: SandboxSpec, *, volume: str) -> dict[str, Any]:
    """The body of the engine's ``create``."""
    token = secrets.token_hex(16)
    return {
        "Image": spec.image,
        "Entrypoint": [RUNNER],
        "Cmd": ["serve", str(spec.ttl_s), *(["egress"] if spec.egress else [])],
        "User": "0:0",
        "WorkingDir": spec.workdir,
        "Hostname": "sandbox",
        "Env": [f"{name}={value}" for name, value in _environment(spec, token).items()],
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": _labels(spec, token),
        "HostConfig": _host_config(spec, volume),
    }


def _environment(spec: SandboxSpec, token: str) -> dict[str, str]:
    values = dict[str, str]()
    if spec.egress:
        values = {**dict.fromkeys(PROXY_VARIABLES, _PROXY), **dict.fromkeys(_NO_PROXY_VARIABLES, _NO_PROXY)}
    return {**values, **spec.env, "CLAWBENCH_RUNNER_TOKEN": token}


def _labels(spec: SandboxSpec, token: str) -> dict[str, str]:
    values = {
        "instance": spec.instance,
        "run": spec.run_id,
        "sandbox": spec.id,
        "deadline": str(int(time.time()) + spec.ttl_s),
        "user": spec.user,
        "workdir": spec.workdir,
        "spec": fingerprint(spec),
        "token": token,
    }
    if spec.egress:
        values["egress"] = " ".join(spec.egress)
    return {f"{LABEL}.{name}": value for name, value in values.items()}


def _host_config(spec: SandboxSpec, volume: str) -> dict[str, Any]:
    memory = spec.limits.memory_mb * MIB
    return {
        "CapDrop": ["ALL"],
        "CapAdd": list(ROOT_TASK_CAPS if spec.user in ("root", "0") else RUNNER_CAPS),
        "SecurityOpt": ["no-new-privileges", f"seccomp={seccomp.profile()}"],
        "NanoCpus": int(spec.limits.cpus * 1_000_000_000),
        "Memory": memory,
        "MemorySwap": memory,
        "PidsLimit": spec.limits.pids + _RESERVED_PIDS,
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "IpcMode": "none",
        "Tmpfs": {"/dev/shm": "rw,nosuid,nodev,noexec,mode=1777,size=64m"},  # noqa: S108
        "CgroupnsMode": "private",
        "NetworkMode": "bridge" if spec.network else "none",
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
        "Mounts": [{"Type": "volume", "Source": volume, "Target": "/.clawbench", "ReadOnly": True}],
    }


def handle(container: Json, *, boot: str | None = None, deadline: int | None = None) -> Sandbox:
    """The handle of a container as the engine reports it; ``deadline`` is the runner's word where it was moved."""
    labels: Mapping[str, str] = container["Config"]["Labels"]
    data = {"container": str(container["Id"]), "token": labels[f"{LABEL}.token"]}
    if boot is not None:
        data["boot"] = boot
    if f"{LABEL}.egress" in labels:
        data["egress"] = labels[f"{LABEL}.egress"]
    return Sandbox(
        provider="docker",
        id=labels[f"{LABEL}.sandbox"],
        user=labels[f"{LABEL}.user"],
        workdir=labels[f"{LABEL}.workdir"],
        data=data,
        observed=_observed(container) | ({"deadline": deadline} if deadline else {}),
    )


def first_deadline(container: Json) -> int:
    """When it would end, had nobody moved that."""
    return int(container["Config"]["Labels"][f"{LABEL}.deadline"])


def _observed(container: Json) -> dict[str, object]:
    host = container["HostConfig"]
    return {
        "image_digest": container["Image"],
        "cpus": host["NanoCpus"] / 1e9,
        "memory_bytes": host["Memory"],
        "swap_bytes": host["MemorySwap"] - host["Memory"],
        "pids": host["PidsLimit"],
        "disk_enforced": False,
        "network": host["NetworkMode"],
        "egress": container["Config"]["Labels"].get(f"{LABEL}.egress", "").split(),
        "capabilities": sorted(host["CapAdd"] or []),
        "no_new_privileges": "no-new-privileges" in host["SecurityOpt"],
        "seccomp_sha256": seccomp.fingerprint(),
        "runtime": host["Runtime"],
        "deadline": first_deadline(container),
    }
