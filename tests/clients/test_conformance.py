"""The MCP conformance suite against a real server, and against its own fixtures behind our door.

``scripts/conformance`` runs these; they need npm, and the network once to fetch the suite.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from pytest_asyncio import fixture as async_fixture

from tests.clients.bearer_proxy import with_bearer
from tests.clients.browser import AGENT, decide
from tests.clients.conftest import World
from tests.clients.fixture_app import build_fixture_app
from tests.clients.npm import HERE, conformance_packages
from tests.clients.suite import Suite, Verdict
from tests.support.process import free_port
from tests.support.stack import served

pytestmark = pytest.mark.clients

EXPECTED_FAILURES = HERE / "expected_failures.yml"
NEWEST = "2026-07-28"
each_revision = pytest.mark.parametrize("revision", ["2025-11-25", NEWEST])
Tell = Callable[[str], None]


@async_fixture(scope="session")
async def installed() -> Path:
    """The suite; the first time it is fetched."""
    return await conformance_packages()


@pytest.fixture
def suite(installed: Path, tmp_path: Path) -> Suite:
    """With a place for its results that is this test's own."""
    return Suite(packages=installed, results=tmp_path)


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """A line that is shown also when all is well."""

    def told(line: str) -> None:
        with capsys.disabled():
            print(f"\n  {line}", end=" ")  # noqa: T201

    return told


def passed(verdict: Verdict) -> None:
    """The suite is content, by its exit code: also no failure that is expected came to pass."""
    assert verdict.code == 0, verdict.told[-6000:]


@each_revision
async def test_the_real_server_passes_all_that_needs_no_fixture(
    revision: str, world: World, suite: Suite, tell: Tell
) -> None:
    token = (await world.installation.ok("admin", "token", "--agent", AGENT)).strip()
    async with with_bearer(world.installation.url, token) as url:
        verdict = await suite.run(
            *("server", "--url", f"{url}/mcp", "--requirements", revision),
            *("--expected-failures", str(EXPECTED_FAILURES)),
        )
    tell(f"{revision}, real server: {verdict.of(suite.required(revision))}; why not: {EXPECTED_FAILURES.name}")
    passed(verdict)


async def test_the_real_server_checks_headers_against_the_body(world: World, suite: Suite) -> None:
    token = (await world.installation.ok("admin", "token", "--agent", AGENT)).strip()
    async with with_bearer(world.installation.url, token) as url:
        passed(
            await suite.run(
                *("server", "--url", f"{url}/mcp", "--spec-version", NEWEST, "--scenario", "http-header-validation")
            )
        )


@each_revision
@pytest.mark.promise("conformance")
async def test_the_suites_own_fixtures_behind_our_door_pass_everything(revision: str, suite: Suite, tell: Tell) -> None:
    port = free_port()
    async with served(build_fixture_app(), port):
        verdict = await suite.run("server", "--url", f"http://127.0.0.1:{port}/mcp", "--requirements", revision)
    tell(f"{revision}, fixtures: {verdict.of(suite.required(revision))}")
    passed(verdict)


async def test_the_authorization_server_passes(world: World, suite: Suite) -> None:
    port, issuer = free_port(), world.installation.url
    async with httpx2.AsyncClient() as http:
        registered = await http.post(
            f"{issuer}/oauth/register",
            json={"client_name": "conformance", "redirect_uris": [f"http://127.0.0.1:{port}/callback"]},
        )
    client_id: str = registered.raise_for_status().json()["client_id"]
    of_client = ("--client-id", client_id, "--resource", f"{issuer}/mcp", "--port", str(port))
    told = ""
    async with suite.spawn("authorization", "--url", issuer, *of_client) as program:
        assert program.stdout is not None
        async for line in program.stdout:
            told += line.decode()
            if line.startswith(f"{issuer}/oauth/authorize?".encode()):
                await decide(world.browser, line.decode().strip())
        await program.wait()
    assert program.returncode == 0, told
    for scenario in ("authorization-server-metadata-endpoint", "authorization-code-grant"):
        assert re.search(rf"✓ {scenario}: [1-9]\d* passed, 0 failed", told), told
