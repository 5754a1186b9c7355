"""The first start leads to a first admin, once; the operator makes admins and sends links for lost passwords."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
from pytest_asyncio import fixture as async_fixture

from clawbench.store.db import Pool
from clawbench.store.identities import user_with_identity
from clawbench.store.users import user_named
from tests.sign_in_app import PASSWORD, send
from tests.support.process import SETUP_LINE, Installation


@async_fixture
async def empty(pool: Pool, database_url: str, tmp_path: Path) -> AsyncGenerator[Installation]:
    """An installation without any user, on the pool's database."""
    installation = Installation(directory=tmp_path / "data", more={"DATABASE_URL": database_url})
    yield installation
    await installation.kill()


async def follow(installation: Installation, link: str) -> str:
    """Set a password behind a setup link; where the browser may go then."""
    where = urlsplit(link)
    path = f"{where.path}?{where.query}"
    fields = {"token": where.query.removeprefix("token="), "password": PASSWORD, "password_again": PASSWORD}
    async with httpx2.AsyncClient(base_url=installation.url) as browser:
        await send(browser, path, fields, to="/setup")
        return str((await browser.get("/admin/people")).status_code)


async def test_the_first_start_prints_the_admins_setup_link_and_no_later_one_does(
    empty: Installation, pool: Pool
) -> None:
    assert await empty.up() == f"ready: {empty.url}\n"
    assert empty.server is not None and empty.server.stdout is not None
    line = (await empty.server.stdout.readline()).decode()
    found = SETUP_LINE.fullmatch(line)
    assert found is not None, line
    assert found["link"].startswith(f"{empty.url}/setup?token=")
    assert await follow(empty, found["link"]) == "200"
    assert await empty.down() == ""
    assert found["link"].partition("token=")[2] not in empty.log.read_text()
    await empty.up()
    assert await empty.down() == ""
    assert await pool.fetchval("select count(*) from clawbench.users") == 1


async def test_where_somebody_is_already_no_account_is_made(empty: Installation, pool: Pool) -> None:
    await empty.ok("admin", "user", "ada")
    await empty.up()
    assert await empty.down() == ""
    assert await user_named(pool, "admin") is None


async def test_the_operator_gives_and_takes_the_admin_role_but_never_the_last(empty: Installation, pool: Pool) -> None:
    await empty.ok("admin", "user", "ada", "--admin")
    await empty.ok("admin", "user", "grace")
    alone = await empty.run("admin", "people", "demote", "ada")
    assert (alone.code, "no admin who can sign in would be left" in alone.err) == (1, True)
    assert await empty.ok("admin", "people", "promote", "Grace") == "grace is an admin\n"
    await pool.execute("update clawbench.users set password_hash = '$argon2id$x' where name = 'grace'")
    assert await empty.ok("admin", "people", "demote", "ADA") == "ada is no admin\n"
    listed = json.loads(await empty.ok("admin", "people", "list", "--json"))
    assert [(each["name"], each["role"], each["signs_in_with"]) for each in listed] == [
        ("grace", "admin", ["password"]),
        ("ada", "member", []),
    ]


async def test_a_new_link_replaces_a_lost_password_and_older_links(empty: Installation) -> None:
    await empty.up()
    older = (await empty.ok("admin", "user", "ada", "--admin")).strip()
    newer = (await empty.ok("admin", "people", "link", "ada")).strip()
    async with httpx2.AsyncClient(base_url=empty.url) as browser:
        assert (await browser.get(older)).status_code == 404
    assert await follow(empty, newer) == "200"
    again = (await empty.ok("admin", "people", "link", "ada")).strip()
    assert await follow(empty, again) == "200"


async def test_the_operator_ends_all_access_of_an_account_at_once_and_reads_what_that_was(
    empty: Installation, pool: Pool
) -> None:
    await empty.up()
    token = (await empty.ok("admin", "token", "--agent", "Tester_agent")).strip()
    link = (await empty.ok("admin", "user", "ada")).strip()
    async with httpx2.AsyncClient(base_url=empty.url) as client:
        headers = {"Authorization": f"Bearer {token}"}
        assert (await client.get("/api/v1/whoami", headers=headers)).status_code == 200
        ended = (await empty.ok("admin", "people", "revoke", "operator")).splitlines()
        assert [line.split() for line in ended] == [
            ["sessions", "0"],
            ["setup_links", "1"],
            ["unredeemed_approvals", "0"],
            ["connected_programs", "0"],
            ["access_tokens", "1"],
            ["api_keys", "0"],
        ]
        assert (await client.get("/api/v1/whoami", headers=headers)).status_code == 401
        assert (await client.get(link)).status_code == 200
        assert "setup_links           1" in await empty.ok("admin", "people", "revoke", "ADA")
        assert (await client.get(link)).status_code == 404
    nobody = await empty.run("admin", "people", "revoke", "grace")
    assert (nobody.code, "there is no user grace" in nobody.err) == (1, True)


async def test_a_name_that_an_issuers_account_chose_is_shown_as_it_is_and_whose_it_is(
    empty: Installation, pool: Pool
) -> None:
    await user_with_identity(pool, issuer="https://i.test", subject="248289761001", proposed="[bold]admin[/]")
    (row,) = (await empty.ok("admin", "people", "list")).splitlines()[1:]
    assert row.startswith("[bold]admin[/] ")
    assert "https://i.test 248289761001" in row
    (listed,) = json.loads(await empty.ok("admin", "people", "list", "--json"))
    assert listed["identities"] == [{"issuer": "https://i.test", "subject": "248289761001"}]


async def test_an_issuer_configured_by_half_is_told_before_anything_starts(empty: Installation) -> None:
    empty.more["CLAWBENCH_OIDC_ISSUER"] = "https://id.example.test"
    ended = await empty.run("up")
    assert (ended.code, ended.out) == (1, "")
    assert "CLAWBENCH_OIDC_CLIENT_ID" in ended.err
