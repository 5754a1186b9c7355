"""The npm packages that ``package-lock.json`` pins by hash, in a cache below ``var/``."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import platform
import shutil
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / "var" / "npm"
MANIFEST = ("package.json", "package-lock.json")
MACHINE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


class CannotInstall(Exception):
    """The packages cannot be had here."""


async def conformance_packages() -> Path:
    """Where the conformance suite and its Node are installed (80 MB)."""
    return await _installed("conformance", "--omit=dev")


async def client_packages() -> Path:
    """Where the clients are installed too (1.4 GB)."""
    return await _installed("clients")


def version(package: str) -> str:
    """The version of a client that is pinned."""
    return json.loads((HERE / "package.json").read_text())["devDependencies"][package]


def node(packages: Path) -> Path:
    """The pinned Node; the one of the machine may be too old for the suite."""
    return packages / f"node-linux-{MACHINE}" / "bin" / "node"


async def _installed(name: str, *options: str) -> Path:
    """``npm ci`` into a directory of the cache, once per lock file. No package's own script is run."""
    directory = CACHE / name
    directory.mkdir(parents=True, exist_ok=True)
    lock = hashlib.sha256(b"".join((HERE / each).read_bytes() for each in MANIFEST)).hexdigest()
    stamp = directory / "stamp"
    with (directory / "busy").open("w") as busy:
        await asyncio.to_thread(fcntl.flock, busy, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != lock:
            await _install(directory, *options)
            stamp.write_text(lock)
    return directory / "node_modules"


async def _install(directory: Path, *options: str) -> None:
    if shutil.which("npm") is None:
        raise CannotInstall("npm is not on PATH; any Node from 18 on brings one")
    for each in MANIFEST:
        shutil.copyfile(HERE / each, directory / each)
    npm = await asyncio.create_subprocess_exec(
        *("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", *options),
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await npm.communicate()
    if npm.returncode != 0:
        raise CannotInstall(f"npm ci failed:\n{told.decode()}")
