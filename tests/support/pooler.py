"""A real transaction pooler (pgbouncer) in front of a Postgres, as managed Postgres services put one there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.process import free_port

ACCOUNT = "nobody"
"""pgbouncer refuses to run as root."""
ANSWERS_WITHIN_S = 10.0

_INI = """\
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 500
logfile = {log}
server_round_robin = 1
ignore_startup_parameters = extra_float_digits
"""


CANNOT_BE_HAD = "pgbouncer is not installed, and only root can install it, with apt-get"


def can_be_had() -> bool:
    """Whether pgbouncer is there, or ``scripts/test`` must have installed it."""
    return program() is not None or (os.geteuid() == 0 and shutil.which("apt-get") is not None)


def program() -> str | None:
    """pgbouncer, where it is installed."""
    return shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


@contextlib.asynccontextmanager
async def transaction_pooler(url: str, directory: Path, *, sessions: int) -> AsyncGenerator[str]:
    """The same database through a pooler that lends one of so many sessions for one transaction; gives its URL.

    ``server_round_robin`` takes another session each time, so that nothing can rely on getting the same one again.
    """
    found, to = program(), urlsplit(url)
    assert found is not None, "pgbouncer is not installed; scripts/test installs it"
    listen, config = free_port(), directory / "pgbouncer.ini"
    config.write_text(
        _INI.format(
            host=to.hostname,
            port=to.port,
            user=to.username,
            password=to.password,
            listen=listen,
            sessions=sessions,
            log=directory / "pgbouncer.log",
        )
    )
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam(ACCOUNT)
        account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        for path in (directory, config):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    process = subprocess.Popen[bytes]([found, "--quiet", config], stdin=subprocess.DEVNULL, **account)
    try:
        await _listening(process, listen)
        yield to._replace(netloc=f"{to.username}@127.0.0.1:{listen}", query="pgbouncer=true").geturl()
    finally:
        process.kill()
        process.wait()


async def _listening(process: subprocess.Popen[bytes], port: int) -> None:
    async with asyncio.timeout(ANSWERS_WITHIN_S):
        while True:
            assert process.poll() is None, "pgbouncer gave up; its log says why"
            with contextlib.suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.01)
