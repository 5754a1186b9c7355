"""``clawbench up``: the server, with everything it needs."""

from __future__ import annotations

from socket import socket
from typing import Annotated

import structlog
import typer
import uvicorn

from clawbench.cli.output import DataDir, run, settings_for
from clawbench.connection import bounded_connections
from clawbench.deps import Deps, open_deps
from clawbench.errors import Unavailable
from clawbench.logs import log_to_stderr
from clawbench.settings import Settings
from clawbench.store.users import create_first_admin

log = structlog.get_logger()

_STOP_AFTER_S = 5


def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. Default: 8100.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Serve pages, sign-in and /mcp; without DATABASE_URL an embedded Postgres comes up too."""
    given = {"host": host, "port": port}
    settings = settings_for(data_dir).model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from clawbench.app import build_app  # the doors and the MCP SDK, which no other command needs
    from clawbench.web.issuer import upstream_of

    log_to_stderr()
    upstream_of(settings)  # configured by half, it is told before anything starts
    async with open_deps(settings) as deps:
        server = _Server(
            uvicorn.Config(
                build_app(deps),
                host=settings.host,
                port=settings.port,
                loop="none",
                http=bounded_connections(),
                ws="none",
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=_STOP_AFTER_S,
            ),
            deps,
        )
        await server.serve()
        if not server.started:
            raise Unavailable("the server did not come up", hint="The lines above say why.")


class _Server(uvicorn.Server):
    """Says once, on stdout, that requests are answered, and where the first admin of an empty installation begins."""

    def __init__(self, config: uvicorn.Config, deps: Deps) -> None:
        super().__init__(config)
        self._deps = deps

    async def startup(self, sockets: list[socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn's way to say that it cannot listen
            where = f"{self.config.host}:{self.config.port}"
            raise Unavailable(f"{where} cannot be listened on", hint="Choose another --port.") from None
        if self.started:
            print(f"ready: http://{self.config.host}:{self.config.port}", flush=True)
            await self._tell_the_first_admin()

    async def _tell_the_first_admin(self) -> None:
        """Printed, never logged: whoever has this link becomes the admin."""
        try:
            first = await create_first_admin(self._deps.pool)
        except Unavailable as error:  # Postgres has just gone: the server waits for it, and the next start tells
            log.warning("setup.waits", why=error.message)
            return
        if first is not None:
            link = f"{self._deps.settings.origin}/setup?token={first.setup_token}"
            print(f"setup: {link}  (the first admin's password; works once, for 24 hours)", flush=True)
