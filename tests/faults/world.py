"""What the campaign breaks: one Postgres, servers over it, a worker, the way to the engine, and one tiny task.

Servers work with their own hands; where there is a worker, the last server leaves all sandbox work to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from clawbench.deps import open_deps
from clawbench.flows.import_tasks import import_task
from clawbench.model.caller import Scope
from clawbench.oauth.bearer import issue_token
from clawbench.settings import Settings
from clawbench.store import workers
from clawbench.store.calls import LEASE_S as SHIPPED_LEASE_S
from clawbench.store.embedded.server import embedded_postgres
from clawbench.store.pool import OpenPool, open_pool
from tests.conftest import memory
from tests.faults.relay import Relay
from tests.sign_in_app import somebody
from tests.support.engine import remove_containers_of
from tests.support.process import free_port
from tests.support.tasks import write_task

TASK = "effects"
TEST = """\
mkdir -p /logs/verifier
if [ -f /app/reward ]; then cp /app/reward /logs/verifier/reward.txt; else echo 0 >/logs/verifier/reward.txt; fi
"""
SOLVE = "echo 1 >/app/reward\n"
LEASE_S = 3.0
READY_WITHIN_S = 120.0
_ROOT = Path(__file__).parents[2]


@dataclass(slots=True, kw_only=True)
class Seat:
    """A place for one server or worker: its arming file, and the process that sits there now."""

    name: str
    port: int
    """0 for a worker, who listens nowhere."""
    arguments: tuple[str, ...]
    directory: Path
    environment: dict[str, str]
    maker: Maker
    lease_s: float | None
    """None: as shipped."""
    pid: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process has ended."""

    @property
    def is_worker(self) -> bool:
        return not self.port

    @property
    def silence_s(self) -> float:
        """After so long without a word its leases pass."""
        return self.lease_s or SHIPPED_LEASE_S

    @property
    def arming(self) -> Path:
        return self.directory / f"{self.name}.armed"

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    async def start(self) -> None:
        """A new process; a server answers when this returns. One without Postgres gives up; another follows."""
        order = {
            "arguments": self.arguments,
            "environment": self.environment,
            "arming": str(self.arming),
            "log": str(self.log),
            "lease_s": self.lease_s,
        }
        async with asyncio.timeout(READY_WITHIN_S):
            while True:
                self.gone = asyncio.Event()
                self.pid = await self.maker.make(order)
                self._watch(self.pid, self.gone)
                while not self.gone.is_set():
                    if await self.answers():
                        return
                    await asyncio.sleep(0.02)

    async def answers(self) -> bool:
        """Whether somebody listens; nobody asks a worker."""
        if self.is_worker:
            return True
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    @property
    def fired(self) -> Path:
        """Where the arming file goes when the point is reached."""
        return self.arming.with_suffix(".fired")

    def arm(self, point: str, how: signal.Signals) -> None:
        """Let the server send itself a signal when it next reaches this point."""
        self.fired.unlink(missing_ok=True)
        draft = self.arming.with_suffix(".draft")
        draft.write_text(f"{point} {how.name}")
        draft.rename(self.arming)

    def disarm(self) -> bool:
        """Take it back; False when it was too late."""
        try:
            self.arming.unlink()
        except FileNotFoundError:
            return False
        return True

    def signal(self, what: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, what)

    @staticmethod
    def _watch(pid: int, gone: asyncio.Event) -> None:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            gone.set()
            return
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(handle)
            os.close(handle)
            gone.set()

        loop.add_reader(handle, ended)


@dataclass(frozen=True, slots=True)
class Maker:
    """The process that forks servers and workers."""

    process: asyncio.subprocess.Process
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def make(self, order: Mapping[str, object]) -> int:
        """A process; its id."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        async with self.one_at_a_time:
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            return int(await self.process.stdout.readline())


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All of it, up."""

    directory: Path
    pool: OpenPool
    """Of the campaign itself; it is as unavailable as Postgres is."""
    settings: Settings
    seats: tuple[Seat, ...]
    """Of the servers."""
    workers: tuple[Seat, ...]
    engine: Relay
    """The only way to the engine that servers and workers know."""
    instance: str
    tokens: tuple[str, ...]
    """One agent's each."""

    @property
    def postmaster(self) -> int | None:
        """The process id of this world's own Postgres."""
        try:
            return int((self.directory / "data/postgres/pgdata/postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError):
            return None


@contextlib.asynccontextmanager
async def opened(
    *, agents: int, servers: int = 2, lease_s: float = LEASE_S, worker: bool = False
) -> AsyncGenerator[World]:
    """A world of its own; at the end nothing of it is left."""
    async with contextlib.AsyncExitStack() as stack:
        made = stack.enter_context(tempfile.TemporaryDirectory(prefix="clawbench-faults-", dir=memory()))
        directory = _passable(made)
        data = directory / "data"
        ports = [free_port() for _ in range(servers)]
        url = await stack.enter_async_context(embedded_postgres(data))
        settings = Settings(
            port=ports[0], public_url=f"http://127.0.0.1:{ports[0]}", data_dir=data, database_url=SecretStr(url)
        )
        instance, tokens = await _furnished(settings, directory, agents)
        stack.push_async_callback(remove_containers_of, instance)
        pool = await open_pool(url, max_size=4)
        stack.push_async_callback(pool.close)
        engine = Relay.to_socket(directory / "engine.sock", _engine())
        await engine.up()
        stack.callback(engine.down)
        maker = await stack.enter_async_context(_maker(directory))
        seats = tuple(
            Seat(
                name=f"server{number}",
                port=port,
                arguments=("up",),
                directory=directory,
                environment=_environment(settings, port, directory / "engine.sock"),
                maker=maker,
                lease_s=lease_s,
            )
            for number, port in enumerate(ports, 1)
        )
        helpers = (await _worker_of(seats[-1], pool),) if worker else ()
        await asyncio.gather(*(seat.start() for seat in (*seats, *helpers)))
        yield World(
            directory=directory,
            pool=pool,
            settings=settings,
            seats=seats,
            workers=helpers,
            engine=engine,
            instance=instance,
            tokens=tokens,
        )


async def _worker_of(server: Seat, pool: OpenPool) -> Seat:
    """A seat for ``clawbench worker``, with a token and without the database; its server leaves the work to it."""
    server.environment["CLAWBENCH_LOCAL_WORK"] = "false"
    token_file = server.directory / "worker.token"
    token_file.write_text(await workers.add(pool, "worker"))
    return replace(
        server,
        name="worker",
        port=0,
        arguments=("worker", "--server", f"http://127.0.0.1:{server.port}", "--token-file", str(token_file)),
        environment={"DOCKER_HOST": server.environment["DOCKER_HOST"]},
        gone=asyncio.Event(),
    )


def _engine() -> str:
    """The engine's own socket."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    assert host.startswith("unix://"), "the campaign stands between the servers and an engine on a local socket"
    return host.removeprefix("unix://")


def _passable(made: str) -> Path:
    """A directory that Postgres's own user can pass."""
    directory = Path(made)
    directory.chmod(0o711)
    return directory


async def _furnished(settings: Settings, directory: Path, agents: int) -> tuple[str, tuple[str, ...]]:
    """Import the task and sign the agents in."""
    async with open_deps(settings) as deps:
        task = await import_task(
            deps, write_task(directory, TASK, test=TEST, solve=SOLVE, workspace=("/app",)), lambda line: None
        )
        assert task.state == "ready", task.why
        tokens = list[str]()
        for _ in range(agents):
            person = await somebody(deps.pool)
            issued = await issue_token(
                deps.pool,
                agent=person.agent,
                scopes=(Scope.READ, Scope.RUN),
                lifetime=timedelta(hours=2),
                resource=settings.resource,
            )
            tokens.append(issued.text)
        return deps.instance, tuple(tokens)


def _environment(settings: Settings, port: int, engine: Path) -> dict[str, str]:
    assert settings.database_url is not None
    return {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "CLAWBENCH_DATA_DIR": str(settings.data_dir),
        "CLAWBENCH_PORT": str(port),
        "CLAWBENCH_PUBLIC_URL": settings.origin,
        "CLAWBENCH_RUNS_A_DAY": "100000",
        "DOCKER_HOST": f"unix://{engine}",
    }


@contextlib.asynccontextmanager
async def _maker(directory: Path) -> AsyncGenerator[Maker]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CLAWBENCH_")}
    with (directory / "maker.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.faults.server",
            cwd=_ROOT,
            env=kept,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        yield Maker(process)
    finally:
        process.kill()  # what it made is told by the kernel
        await process.communicate()
