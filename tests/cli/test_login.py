"""Signing in from a terminal, and the headers that MCP clients ask for: real processes against a served app."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from pytest_asyncio import fixture as async_fixture
from starlette.applications import Starlette

from clawbench.app import routes
from clawbench.credentials import Profile, load_profile, save_profile
from clawbench.device_login import Prompt, log_in
from clawbench.model.secret import typed
from clawbench.settings import Settings
from clawbench.store.db import Pool
from clawbench.store.device_codes import approve_device_code, undecided_device_code
from tests.sign_in_app import Deps, Person, somebody
from tests.support.process import CLAWBENCH, Ended, free_port
from tests.support.stack import served

AT_ONCE = 8
GONE = "http://127.0.0.1:1"
AWAY = "0.0.0.0"  # noqa: S104 - not a loopback address, and yet refuses a connection at once
CLIENTS_WAIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A person's home directory, and programs that know of nothing else."""

    directory: Path

    @property
    def credentials(self) -> Path:
        return self.directory / ".config" / "clawbench" / "credentials.json"

    @property
    def environment(self) -> dict[str, str]:
        return {"HOME": str(self.directory), "PATH": "/usr/bin:/bin"}

    async def start(self, *arguments: str, **more: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            CLAWBENCH,
            *arguments,
            env={**self.environment, **more},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str, **more: str) -> Ended:
        program = await self.start(*arguments, **more)
        out, err = await program.communicate()
        assert program.returncode is not None
        return Ended(code=program.returncode, out=out.decode(), err=err.decode())

    def keep(self, profile: Profile, *, left: timedelta) -> Profile:
        """A sign-in whose access token is good for so long, as this machine knows."""
        kept = replace(profile, expires_at=datetime.now(UTC) + left)
        save_profile(kept, path=self.credentials)
        return kept


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(directory=tmp_path)


@async_fixture
async def url(pool: Pool) -> AsyncGenerator[str]:
    """Where every route but /mcp is served."""
    settings = Settings(port=free_port())
    app = Starlette(routes=routes())
    app.state.deps = Deps(pool=pool, settings=settings)
    async with served(app, settings.port):
        yield settings.origin


@async_fixture
async def person(pool: Pool) -> Person:
    return await somebody(pool)


@async_fixture
async def profile(pool: Pool, url: str, person: Person) -> Profile:
    """A sign-in, without the seconds that a terminal waits."""
    shown: list[Prompt] = []

    async def decide(_: float) -> None:
        await approve(pool, person, shown[0].code)

    return await log_in(url, shown.append, sleep=decide)


async def approve(pool: Pool, person: Person, code: str) -> None:
    waiting = await undecided_device_code(pool, typed(code))
    assert waiting is not None
    assert await approve_device_code(pool, waiting.id, user_id=person.user.id, agent_id=person.agent.id)


async def status_with(url: str, token: str) -> int:
    async with httpx2.AsyncClient() as client:
        headers = {"Authorization": f"Bearer {token}"}
        return (await client.get(f"{url}/api/v1/whoami", headers=headers)).status_code


def token_in(ended: Ended) -> str:
    """The token of a header that was printed, and nothing else was."""
    assert (ended.code, ended.err) == (0, "")
    kind, token = json.loads(ended.out)["Authorization"].split()
    assert (kind, json.loads(ended.out).keys()) == ("Bearer", {"Authorization"})
    return token


def is_told(ended: Ended, *parts: str) -> bool:
    """Nothing for the client that reads stdout; a line and what to do for the person."""
    return (ended.code, ended.out, len(ended.err.splitlines())) == (1, "", 2) and all(p in ended.err for p in parts)


async def test_from_login_to_logout(home: Home, pool: Pool, url: str, person: Person) -> None:
    login = await home.start("login", "--server", url)
    assert login.stdout is not None
    shown = (await login.stdout.readline()).decode()
    await approve(pool, person, shown.strip()[-9:])
    rest, err = await login.communicate()
    assert (login.returncode, err) == (0, b"")
    assert f"signed in to {url} as {person.agent.name}" in rest.decode()

    token = token_in(await home.run("auth", "headers", "--server", f"{url}/mcp"))
    assert await status_with(url, token) == 200
    who = json.loads((await home.run("whoami", "--json")).out)
    assert (who["server"], who["user"], who["agent"]) == (url, person.user.name, person.agent.name)
    assert who["scopes"] == ["clawbench:read", "clawbench:run"]

    assert (await home.run("logout")).out == f"signed out of {url}\n"
    assert await status_with(url, token) == 401
    assert await pool.fetchval("select revoked_why from clawbench.grants") == "client"
    assert is_told(await home.run("auth", "headers", "--server", url), f"clawbench login --server {url}")
    assert (await home.run("logout", "--server", url)).out == "was not signed in\n"


@pytest.mark.promise("auth-headers")
async def test_programs_that_meet_an_expired_token_renew_it_once_and_all_get_one_that_works(
    home: Home, pool: Pool, url: str, profile: Profile
) -> None:
    home.keep(profile, left=timedelta(hours=-1))
    ended = await asyncio.gather(*(home.run("auth", "headers") for _ in range(AT_ONCE)))
    (token,) = {token_in(each) for each in ended}
    assert token != profile.access_token
    assert await status_with(url, token) == 200
    assert await pool.fetchval("select count(*) from clawbench.refresh_tokens where rotated_at is not null") == 1
    assert await pool.fetchval("select revoked_at from clawbench.grants") is None

    home.keep(load(home, url), left=timedelta(minutes=4))
    next_token = token_in(await home.run("auth", "headers"))
    assert next_token not in (profile.access_token, token)
    assert await status_with(url, next_token) == 200


async def test_a_token_with_time_left_is_printed_as_it_is(home: Home, url: str, profile: Profile) -> None:
    kept = home.keep(profile, left=timedelta(minutes=6))
    assert token_in(await home.run("auth", "headers")) == kept.access_token
    assert load(home, url) == kept


async def test_what_needs_no_renewing_needs_neither_http_client_nor_server_code(home: Home, profile: Profile) -> None:
    home.keep(profile, left=timedelta(hours=1))
    script = (
        "import sys; from clawbench.cli import main; sys.argv[1:] = ['auth', 'headers']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print({'httpx2', 'uvloop', 'asyncpg', 'structlog', 'clawbench.deps'} & set(sys.modules), file=sys.stderr)"
    )
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", script),
        env=home.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await program.communicate()
    assert profile.access_token in out.decode()
    assert err.decode() == "set()\n"


async def test_a_server_that_is_away_is_noticed_only_when_the_token_has_expired(home: Home, profile: Profile) -> None:
    elsewhere = replace(profile, server=GONE)
    kept = home.keep(elsewhere, left=timedelta(minutes=1))
    assert token_in(await home.run("auth", "headers")) == kept.access_token
    home.keep(elsewhere, left=timedelta(seconds=-1))
    assert is_told(await home.run("auth", "headers"), GONE, "does not answer")


async def test_nobody_signs_in_over_plain_http_to_another_machine_unless_they_insist(
    home: Home, profile: Profile
) -> None:
    there = f"http://{AWAY}:1"
    assert is_told(await home.run("login", "--server", there), "is http", "https URL", "--insecure")
    assert is_told(await home.run("login", "--server", there, "--insecure"), there, "does not answer")
    kept = home.keep(replace(profile, server=there), left=timedelta(hours=1))
    assert is_told(await home.run("login"), "is http")
    assert token_in(await home.run("auth", "headers")) == kept.access_token


async def test_a_server_that_never_answers_keeps_no_client_waiting_for_longer_than_it_would(
    home: Home, profile: Profile
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        elsewhere = replace(profile, server=f"http://127.0.0.1:{silent.getsockname()[1]}")
        kept = home.keep(elsewhere, left=timedelta(minutes=1))
        async with asyncio.timeout(CLIENTS_WAIT_S):
            assert token_in(await home.run("auth", "headers")) == kept.access_token


@pytest.mark.parametrize("left", [timedelta(hours=-1), timedelta(minutes=1)])
async def test_a_sign_in_that_was_ended_elsewhere_is_told_with_the_command_that_helps(
    home: Home, pool: Pool, url: str, profile: Profile, left: timedelta
) -> None:
    await pool.execute("update clawbench.grants set revoked_at = now(), revoked_why = 'user'")
    home.keep(profile, left=left)
    for command in (("auth", "headers"), ("whoami",)):
        assert is_told(await home.run(*command), "no longer good", f"clawbench login --server {url}")


async def test_a_token_that_was_revoked_is_told_by_whoami(home: Home, pool: Pool, url: str, profile: Profile) -> None:
    await pool.execute("update clawbench.access_tokens set revoked_at = now()")
    home.keep(profile, left=timedelta(hours=1))
    assert is_told(await home.run("whoami"), "no longer good", f"clawbench login --server {url}")


async def test_a_sign_in_without_a_refresh_token_is_good_until_it_expires(home: Home, profile: Profile) -> None:
    old = replace(profile, refresh_token=None)
    home.keep(old, left=timedelta(minutes=1))
    assert token_in(await home.run("auth", "headers")) == old.access_token
    home.keep(old, left=timedelta(seconds=-1))
    assert is_told(await home.run("auth", "headers"), "has expired", "clawbench login --server")


async def test_the_server_may_be_left_out_when_there_is_one_to_mean(home: Home, url: str, profile: Profile) -> None:
    for command in (("auth", "headers"), ("whoami",), ("logout",), ("login",), ("mcp", "config", "codex")):
        assert is_told(await home.run(*command), "signed in to none", "--server URL")
    home.keep(profile, left=timedelta(hours=1))
    assert f'"{url}/mcp"' in (await home.run("mcp", "config", "codex")).out
    home.keep(replace(profile, server=GONE), left=timedelta(hours=1))
    assert is_told(await home.run("auth", "headers"), "several", f"--server {GONE} or {url}")
    assert token_in(await home.run("auth", "headers", "--server", url)) == profile.access_token


async def test_a_logout_that_the_server_does_not_hear_is_told_and_forgets(home: Home, profile: Profile) -> None:
    home.keep(replace(profile, server=GONE), left=timedelta(hours=1))
    assert is_told(await home.run("logout"), "signed out here", GONE, "was not told")
    assert load_profile(GONE, path=home.credentials) is None


async def test_where_other_configuration_is_kept_does_not_matter(home: Home, profile: Profile, tmp_path: Path) -> None:
    kept = home.keep(profile, left=timedelta(hours=1))
    ended = await home.run("auth", "headers", XDG_CONFIG_HOME=str(tmp_path / "elsewhere"))
    assert token_in(ended) == kept.access_token


async def test_a_directory_that_is_not_ours_to_write_is_told_before_anything_is_traded(
    home: Home, pool: Pool, profile: Profile
) -> None:
    home.keep(profile, left=timedelta(hours=-1))
    home.credentials.with_suffix(".lock").unlink()
    home.credentials.with_suffix(".lock").mkdir()
    assert is_told(await home.run("auth", "headers"), "cannot be used")
    assert await pool.fetchval("select count(*) from clawbench.refresh_tokens where rotated_at is not null") == 0


async def test_whoami_over_http_is_for_bearers_only(url: str, profile: Profile) -> None:
    assert await status_with(url, "cbt_x") == 401
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {profile.access_token}"}) as client:
        answer = await client.get(f"{url}/api/v1/whoami")
        assert (answer.status_code, answer.json()["data"]["agent"]) == (200, profile.agent_name)
        assert (await client.post(f"{url}/api/v1/whoami")).status_code == 405
        challenged = await client.get(f"{url}/api/v1/whoami", headers={"Authorization": ""})
        assert (challenged.status_code, "resource_metadata" in challenged.headers["www-authenticate"]) == (401, True)


def load(home: Home, url: str) -> Profile:
    found = load_profile(url, path=home.credentials)
    assert found is not None
    return found
