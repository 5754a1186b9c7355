"""The Docker provider: the life of a sandbox here, its operations through the runner inside."""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

from sandbox_providers.contract import (
    ExecSpec,
    ExecState,
    FileInfo,
    Health,
    Lost,
    NetworkLog,
    Problem,
    Sandbox,
    SandboxSpec,
    Stream,
)
from sandbox_providers.docker import container, image, transfer
from sandbox_providers.docker.attach import RUNNER
from sandbox_providers.docker.engine import Engine, EngineNotFound, EngineRefused, Json
from sandbox_providers.docker.health import examine, health_of
from sandbox_providers.docker.remote import Remote
from sandbox_providers.docker.volume import fill_volume, volume_name
from sandbox_providers.egress import Outside
from sandbox_providers.errors import FileRefused, SandboxFrozen, SandboxGone, SandboxUnavailable, SpecRefused
from sandbox_providers.runner import wire
from sandbox_providers.runner.tunnel import network_log

_GONE_POLLS = 100
_STUCK_S = 5.0
"""An engine that lists its containers tells of each at once, unless it is stuck on that one."""
_ASKED_AT_ONCE = 8
_LONGEST_TTL_S = 365 * 86400


class DockerProvider:
    """Sandboxes as hardened containers of one engine."""

    name = "docker"

    def __init__(
        self, *, cache_dir: Path, docker_host: str | None, volume: str | None = None, outside: Outside | None = None
    ) -> None:
        self._engine = Engine(docker_host)
        self._remote = Remote(self._engine, outside or Outside())
        self._cache_dir = cache_dir
        self._volume = volume or volume_name()
        self._site: str | None = None

    async def site(self) -> str:
        if self._site is None:
            self._site = f"docker:{await self._engine.call(lambda client: str(client.info()['ID']))}"
        return self._site

    async def preflight(self) -> list[Problem]:
        return await examine(self._engine)

    def validate(self, spec: SandboxSpec) -> None:
        container.validate(spec)

    async def build_image(self, tag: str, context: bytes, *, timeout_s: float, network: bool) -> str:
        return await image.build_image(self._engine, tag, context, timeout_s=timeout_s, network=network)

    async def image_digest(self, ref: str) -> str | None:
        return await image.image_digest(self._engine, ref)

    async def image_workdir(self, ref: str) -> str | None:
        return await image.image_workdir(self._engine, ref)

    async def create(self, spec: SandboxSpec) -> Sandbox:
        self.validate(spec)
        name, frozen = container.container_name(spec.id), container.frozen_name(spec.id)
        with suppress(EngineNotFound):
            return self._same(spec, await self._engine.inspect(frozen))
        config = container.container_config(spec, volume=self._volume)
        try:
            await self._engine.call(lambda client: client.create_container_from_config(config, name))
        except EngineNotFound as error:
            raise SpecRefused(f"sandbox {spec.id!r}: {error}") from error
        except EngineRefused as error:
            if error.status != 409:
                raise SpecRefused(f"sandbox {spec.id!r}: {error}") from error
        return await self._started(spec, name)

    async def _started(self, spec: SandboxSpec, name: str) -> Sandbox:
        """The sandbox of an existing container, started if it never was; one that has ended stays ended."""
        found = await self._inspect(name)
        sandbox = self._same(spec, found)
        if found["State"]["Status"] == "created":
            await self._start(name, spec.image)
            found = await self._inspect(name)
        if not found["State"]["Running"]:
            raise SandboxGone(f"sandbox {spec.id!r} has ended: {health_of(found).why}")
        sandbox = container.handle(found, boot=await self._remote.boot(sandbox))
        return container.handle(found, boot=sandbox.data["boot"], deadline=await self._remote.deadline(sandbox))

    def _same(self, spec: SandboxSpec, found: Json) -> Sandbox:
        if found["Config"]["Labels"].get(f"{container.LABEL}.spec") != container.fingerprint(spec):
            raise SpecRefused(f"sandbox {spec.id!r} exists and is another one")
        return container.handle(found)

    async def _start(self, name: str, image_ref: str) -> None:
        try:
            await self._engine.call(lambda client: client.start(name))
        except EngineRefused as error:
            if RUNNER not in str(error):
                await self._remove(name)
                raise SpecRefused(f"{name}: {error}") from error
            await fill_volume(self._engine, self._volume, self._cache_dir, image=image_ref)
            await self._engine.call(lambda client: client.start(name))

    async def _inspect(self, name: str) -> Json:
        try:
            return await self._engine.inspect(name)
        except EngineNotFound as error:
            raise SandboxGone(f"no container {name}") from error

    async def health(self, sandbox: Sandbox) -> Health:
        try:
            found = await self._engine.inspect(sandbox.data["container"])
            health = health_of(found)
            if health.state != "running":
                return health
            deadline = await self._remote.deadline(sandbox)
            return replace(health, deadline=deadline or container.first_deadline(found))
        except EngineNotFound:
            return Health(state="gone", why="the container was removed", caused_by="unknown")
        except SandboxUnavailable as error:
            return Health(state="unreachable", why=str(error), caused_by="platform")

    async def extend(self, sandbox: Sandbox, ttl_s: int) -> int:
        if not 1 <= ttl_s <= _LONGEST_TTL_S:
            raise SpecRefused(f"{ttl_s} seconds are not a time to live")
        deadline = int(time.time()) + ttl_s
        await self._remote.request(sandbox, "d", wire.u64(ttl_s * 1000) + wire.u64(deadline))
        return deadline

    async def network_log(self, sandbox: Sandbox) -> NetworkLog:
        return network_log(await self._remote.request(sandbox, "g", b""))

    async def freeze(self, sandbox: Sandbox) -> None:
        """Marked by its name and killed. Pausing it would keep its memory, and can hang the engine for ever where
        it meets an exec that is just starting (seen with Docker 20.10)."""
        self._remote.close(sandbox)
        ref, name = sandbox.data["container"], container.frozen_name(sandbox.id)
        found = await self._inspect(ref)
        if not found["State"]["Running"]:
            return
        with suppress(EngineRefused, EngineNotFound):  # somebody else is at it, too
            if not container.is_frozen(found):
                await self._engine.call(lambda client: client.rename(ref, name))
        with suppress(EngineRefused, EngineNotFound):  # it has just ended
            await self._engine.call(lambda client: client.kill(ref, "KILL"))
        for _ in range(_GONE_POLLS):
            if not (await self._inspect(ref))["State"]["Running"]:
                return
            await asyncio.sleep(0.05)
        raise SandboxUnavailable(f"the engine does not finish killing {ref}")

    async def destroy(self, sandbox: Sandbox) -> None:
        self._remote.close(sandbox)
        await self._remove(sandbox.data["container"])

    async def _remove(self, ref: str) -> None:
        for _ in range(_GONE_POLLS):
            try:
                await self._engine.call(lambda client: client.remove_container(ref, force=True, v=True))
            except EngineNotFound:
                return
            except EngineRefused as error:
                if error.status != 409:
                    raise
            await asyncio.sleep(0.05)
        raise SandboxUnavailable(f"the engine does not finish removing {ref}")

    async def list_owned(self, instance: str) -> list[Sandbox]:
        label = f"{container.LABEL}.instance={instance}"
        found = await self._engine.call(
            lambda client: cast(list[Json], client.containers(all=True, filters={"label": [label]}))
        )
        few = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def one(ref: str) -> Sandbox | None:
            async with few:
                return await self._listed(ref)

        owned = await asyncio.gather(*(one(str(entry["Id"])) for entry in found))
        return [sandbox for sandbox in owned if sandbox is not None]

    async def _listed(self, ref: str) -> Sandbox | None:
        """Its handle with the deadline that its runner tells; None if it has gone by now, or the engine hangs on it."""
        try:
            found = await self._engine.inspect(ref, timeout_s=_STUCK_S)
        except (EngineNotFound, SandboxUnavailable):
            return None
        sandbox = container.handle(found)
        if health_of(found).state != "running":
            return sandbox
        return container.handle(found, deadline=await self._remote.deadline(sandbox))

    async def start(self, sandbox: Sandbox, spec: ExecSpec) -> None:
        user, cwd = spec.user or sandbox.user, _cwd(sandbox, spec)
        await self._remote.request(sandbox, "s", wire.start_fields(spec, user=user, cwd=cwd))

    async def run(self, sandbox: Sandbox, spec: ExecSpec, *, wait_s: float) -> ExecState:
        user, cwd = spec.user or sandbox.user, _cwd(sandbox, spec)
        return await self._remote.run(sandbox, spec, user=user, cwd=cwd, wait_s=wait_s)

    async def wait(self, sandbox: Sandbox, op_id: str, *, timeout_s: float) -> ExecState:
        try:
            return await self._remote.wait(sandbox, op_id, timeout_s=timeout_s)
        except SandboxFrozen:
            raise
        except SandboxGone as error:
            return Lost(why=str(error))

    async def output(self, sandbox: Sandbox, op_id: str, stream: Stream, *, offset: int, limit: int) -> bytes:
        return await self._remote.output(sandbox, op_id, stream, offset=offset, limit=limit)

    async def cancel(self, sandbox: Sandbox, op_id: str) -> None:
        await self._remote.request(sandbox, "c", wire.text(op_id))

    async def forget(self, sandbox: Sandbox, op_id: str) -> None:
        await self._remote.forget(sandbox, op_id)

    async def stat(self, sandbox: Sandbox, path: str) -> FileInfo | None:
        absolute = _absolute(sandbox, path)
        try:
            fields = await self._remote.file_request(sandbox, "t", absolute)
        except FileRefused as error:
            if error.reason in ("not_found", "not_a_directory"):
                return None
            raise
        return fields.entry(absolute)

    async def list(self, sandbox: Sandbox, path: str, *, limit: int) -> Sequence[FileInfo]:
        absolute = _absolute(sandbox, path)
        fields = await self._remote.file_request(sandbox, "l", absolute, wire.u32(limit))
        (count,) = fields.unpack(">I")
        return [fields.entry(posixpath.join(absolute, fields.text())) for _ in range(count)]

    async def read(self, sandbox: Sandbox, path: str, *, offset: int = 0, limit: int) -> bytes:
        absolute, data = _absolute(sandbox, path), bytearray()
        while len(data) < limit:
            want = min(limit - len(data), wire.MAX_READ)
            where = wire.u64(offset + len(data)) + wire.u32(want)
            piece = (await self._remote.file_request(sandbox, "r", absolute, where)).blob()
            data += piece
            if len(piece) < want:
                break
        return bytes(data)

    async def write(
        self, sandbox: Sandbox, path: str, data: bytes, *, op_id: str, if_sha256: str | None = None
    ) -> None:
        absolute = _absolute(sandbox, path)
        want = b"" if if_sha256 is None else bytes.fromhex(if_sha256)
        if want and len(want) != hashlib.sha256().digest_size:
            raise FileRefused("changed", absolute)
        await self._remote.file_request(sandbox, "p", absolute, wire.blob(want) + wire.blob(data), op_id=op_id)

    async def upload(self, sandbox: Sandbox, path: str, tar: bytes) -> None:
        found = await self._inspect(sandbox.data["container"])
        if container.is_frozen(found):
            raise SandboxFrozen("the sandbox is frozen")
        await transfer.upload(self._engine, str(found["Id"]), _absolute(sandbox, path), tar)

    async def download(self, sandbox: Sandbox, path: str) -> AsyncIterator[bytes]:
        try:
            async for chunk in transfer.download(self._engine, sandbox.data["container"], _absolute(sandbox, path)):
                yield chunk
        except EngineNotFound as error:
            raise SandboxGone("the container was removed") from error

    async def close(self) -> None:
        self._remote.close_all()
        await self._engine.close()


def _cwd(sandbox: Sandbox, spec: ExecSpec) -> str:
    return posixpath.join(sandbox.workdir, spec.cwd or "")


def _absolute(sandbox: Sandbox, path: str) -> str:
    if "\0" in path:
        raise FileRefused("not_found", path)
    parts = posixpath.join(sandbox.workdir, path).split("/")
    return "/" + "/".join(part for part in parts if part not in ("", "."))
