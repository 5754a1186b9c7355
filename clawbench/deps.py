"""What every flow is handed: the pool, the artifact store, this process's hands and its background work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Hashable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog

from clawbench.errors import ClawBenchError
from clawbench.hands import Hands
from clawbench.model.signature import Signer, load_or_create
from clawbench.model.work import Places
from clawbench.settings import Settings
from clawbench.store import installation
from clawbench.store.artifacts import Blobs
from clawbench.store.db import Pool
from clawbench.store.embedded.server import embedded_postgres
from clawbench.store.migrations import migrate
from clawbench.store.pool import open_pool
from sandbox_providers.errors import SandboxError
from sandbox_providers.registry import find_provider

log = structlog.get_logger()

_ENGINE_WITHIN_S = 3.0
"""A server that starts waits no longer for an engine."""


class Bell:
    """Wakes whoever waits in this process; what other processes did is found by looking again."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who waits now."""
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Until the next ring, or so long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), seconds)


class Background:
    """Tasks that outlive the request that began them, by what they work on."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}
        self._taken: set[asyncio.Task[Any]] = set()
        self.work = Bell()
        """There is work to take."""
        self.answers = Bell()
        """A call has come to its answer."""
        self.ended = Bell()
        """A run ended, and its sandbox may go."""
        self.sites: tuple[str, ...] = ()
        """Where this process's provider acts; empty until its engine has answered once."""

    @property
    def taken(self) -> int:
        """How many tasks work on jobs that were taken from the desk."""
        return len(self._taken)

    def start(self, key: Hashable, work: Coroutine[Any, Any, Any], *, taken: bool = False) -> asyncio.Task[Any]:
        """Run it detached from the caller: no disconnect and no cancelled request reaches it."""
        task = asyncio.create_task(work, name=str(key))
        self._tasks[key] = task
        if taken:
            self._taken.add(task)
            task.add_done_callback(self._taken.discard)
            task.add_done_callback(lambda _: self.work.ring())
        task.add_done_callback(lambda _: self._forget(key, task))
        return task

    def _forget(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its lease passes and somebody takes the work up again; whoever waits for it here is told as well.
            known = isinstance(error, ClawBenchError)
            log.warning("task.failed", task=task.get_name(), why=str(error), exc_info=None if known else error)

    def find(self, key: Hashable) -> asyncio.Task[Any] | None:
        """The task that works on this, if it is one of this process."""
        return self._tasks.get(key)

    async def idle(self) -> None:
        """Wait for everything that is under way."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def close(self) -> None:
        """Cancel everything and wait for it; what was under way is taken over by the next process."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """The composition root's one product."""

    settings: Settings
    instance: str
    """This installation, as its sandboxes are labelled."""
    pool: Pool
    blobs: Blobs
    hands: Hands | None
    """What this process acts with; None where only remote workers do."""
    signer: Signer
    background: Background

    @property
    def places(self) -> Places:
        """Where this process can act by itself."""
        providers = (self.hands.provider.name,) if self.hands else ()
        return Places(sites=self.background.sites, providers=providers)


@asynccontextmanager
async def open_deps(settings: Settings) -> AsyncGenerator[Deps]:
    """Everything a flow needs, opened in order and closed in reverse; the database is migrated."""
    async with AsyncExitStack() as stack:
        url = settings.database_url.get_secret_value() if settings.database_url else None
        if url is None:
            url = await stack.enter_async_context(embedded_postgres(settings.data_dir))
        await migrate(url)
        pool = await open_pool(url)
        stack.push_async_callback(pool.close)
        blobs = Blobs(settings.artifacts)
        hands = await _hands(stack, settings, blobs) if settings.local_work else None
        background = Background()
        stack.push_async_callback(background.close)
        if hands is not None:
            # An engine that is away, or silent, is looked for again while we work.
            with suppress(SandboxError, TimeoutError):
                async with asyncio.timeout(_ENGINE_WITHIN_S):
                    background.sites = (await hands.provider.site(),)
        yield Deps(
            settings=settings,
            instance=str(await installation.id_of(pool)),
            pool=pool,
            blobs=blobs,
            hands=hands,
            signer=load_or_create(settings.data_dir / "keys" / "evidence.ed25519"),
            background=background,
        )


async def _hands(stack: AsyncExitStack, settings: Settings, blobs: Blobs) -> Hands:
    provider = find_provider(settings.provider)()
    stack.push_async_callback(provider.close)
    return Hands(provider=provider, blobs=blobs)
