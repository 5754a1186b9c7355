"""``clawbench worker`` and ``tick``: sandbox work on another machine, and time kept by somebody else."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Annotated

import structlog
import typer

from clawbench.cli.output import DataDir, operator, run
from clawbench.credentials import server_url
from clawbench.errors import ClawBenchError, InvalidArguments, Unavailable
from clawbench.flows.perform import perform
from clawbench.flows.work import SWEEP_EVERY_S, look, reap, sweep
from clawbench.hands import Hands
from clawbench.logs import log_to_stderr
from clawbench.model.work import Places
from clawbench.remote_desk import RemoteDesk, open_http
from sandbox_providers.errors import SandboxError
from sandbox_providers.registry import find_provider

log = structlog.get_logger()

_RETRY_S = 2.0


def worker(
    server: Annotated[str, typer.Option(help="The server's URL.")],
    token_file: Annotated[Path, typer.Option(exists=True, help="Holds the token of clawbench admin worker add.")],
    provider: Annotated[str, typer.Option(help="The sandbox provider of this machine.")] = "docker",
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Jobs done at the same time.")] = 8,
) -> None:
    """Take work from a server and do it with this machine's sandboxes, until stopped."""
    token = token_file.read_text().strip()
    if not token:
        raise InvalidArguments(f"{token_file} is empty")
    log_to_stderr()
    run(_worker(server_url(server), token, provider, at_once))


def tick(data_dir: DataDir = None) -> None:
    """Do one round of the background work: deadlines, left-over calls and sandboxes."""
    run(_tick(data_dir))


async def _worker(server: str, token: str, provider_name: str, at_once: int) -> None:
    provider = find_provider(provider_name)()
    try:
        async with open_http(server, token) as http:
            desk = RemoteDesk(http)
            hands = Hands(provider=provider, blobs=desk.blobs)
            serving = asyncio.create_task(_serve(desk, hands, at_once))
            sweeping = asyncio.create_task(_sweep(desk, hands))
            for sign in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(sign, serving.cancel)
            try:
                with contextlib.suppress(asyncio.CancelledError):
                    await serving
            finally:
                sweeping.cancel()
    finally:
        await provider.close()


async def _serve(desk: RemoteDesk, hands: Hands, at_once: int) -> None:
    """Take and do jobs; when stopped, give back what is under way, so that somebody goes on with it at once."""
    doing: set[asyncio.Task[object]] = set()
    told = False
    try:
        while True:
            try:
                places = Places(sites=(await hands.provider.site(),), providers=(hands.provider.name,))
                jobs = await desk.take(places, limit=max(1, at_once - len(doing)))
            except (Unavailable, SandboxError) as error:
                log.warning("worker.waits", why=str(error))
                await asyncio.sleep(_RETRY_S)
                continue
            if not told:
                told = True
                print(f"ready: works for installation {desk.instance}", flush=True)
            doing |= {asyncio.create_task(perform(desk, hands, job)) for job in jobs}
            while len(doing) >= at_once:
                done, doing = await asyncio.wait(doing, return_when=asyncio.FIRST_COMPLETED)
                _tell(done)
            _tell({task for task in doing if task.done()})
            doing = {task for task in doing if not task.done()}
    finally:
        for task in doing:
            task.cancel()
        await asyncio.gather(*doing, return_exceptions=True)


def _tell(done: set[asyncio.Task[object]]) -> None:
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its lease passes, and somebody takes the work up again.
            known = isinstance(error, ClawBenchError)
            log.warning("job.failed", why=str(error), exc_info=None if known else error)


async def _sweep(desk: RemoteDesk, hands: Hands) -> None:
    while True:
        if desk.instance is not None:
            try:
                await reap(desk, hands, desk.instance)
            except Unavailable as error:
                log.warning("reap.waits", why=error.message)
        await asyncio.sleep(SWEEP_EVERY_S)


async def _tick(data_dir: Path | None) -> None:
    async with operator(data_dir) as deps:
        await look(deps)
        await deps.background.idle()
        await sweep(deps)
