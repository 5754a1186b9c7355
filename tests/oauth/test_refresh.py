"""A refresh token is exchanged for the next; one that comes back later ends all that its grant gave."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from clawbench.flows.revoke_access import revoke_access
from clawbench.model.secret import hashed
from clawbench.store.db import Pool
from tests.oauth.flow import RESOURCE, error_of, opens, refresh, registered, signed_in
from tests.sign_in_app import Person


async def rotated_earlier(pool: Pool, refresh_token: str, seconds: int = 11) -> None:
    await pool.execute(
        """
        update clawbench.refresh_tokens
        set rotated_at = rotated_at - make_interval(secs => $2)
        where token_sha256 = $1
        """,
        hashed(refresh_token),
        seconds,
    )


async def test_a_refresh_gives_a_new_pair_for_the_same_agent(browser: httpx2.AsyncClient, person: Person) -> None:
    asking, first = await signed_in(browser, person)
    answer = await refresh(browser, asking, first["refresh_token"], resource=RESOURCE)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    second = answer.json()
    assert second["access_token"] != first["access_token"]
    assert second["refresh_token"] != first["refresh_token"]
    assert {key: second[key] for key in ("token_type", "expires_in", "scope", "agent_name")} == {
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "clawbench:read clawbench:run",
        "agent_name": person.agent.name,
    }
    assert await opens(browser, second["access_token"])


async def test_twenty_processes_that_refresh_at_once_all_get_a_pair_that_works_on(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking, first = await signed_in(browser, person)
    answers = await asyncio.gather(*(refresh(browser, asking, first["refresh_token"]) for _ in range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    pairs = [answer.json() for answer in answers]
    assert len({pair["refresh_token"] for pair in pairs}) == 20
    await rotated_earlier(pool, first["refresh_token"])
    for pair in (pairs[0], pairs[-1]):
        assert await opens(browser, pair["access_token"])
        assert (await refresh(browser, asking, pair["refresh_token"])).status_code == 200


async def test_a_token_reused_after_its_grace_ends_the_whole_grant(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking, first = await signed_in(browser, person)
    other, apart = await signed_in(browser, person)
    second = (await refresh(browser, asking, first["refresh_token"])).json()
    await rotated_earlier(pool, first["refresh_token"])
    assert error_of(await refresh(browser, asking, first["refresh_token"])) == "invalid_grant"
    for pair in (first, second):
        assert not await opens(browser, pair["access_token"])
        assert error_of(await refresh(browser, asking, pair["refresh_token"])) == "invalid_grant"
    assert await opens(browser, apart["access_token"])
    assert (await refresh(browser, other, apart["refresh_token"])).status_code == 200
    reasons = await pool.fetch("select revoked_why from clawbench.grants where revoked_at is not null")
    assert [row["revoked_why"] for row in reasons] == ["reused_refresh_token"]


async def test_the_grace_runs_from_the_first_use_and_is_not_drawn_out(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking, first = await signed_in(browser, person)
    for _ in range(3):
        assert (await refresh(browser, asking, first["refresh_token"])).status_code == 200
        await rotated_earlier(pool, first["refresh_token"], 4)
    assert error_of(await refresh(browser, asking, first["refresh_token"])) == "invalid_grant"


async def test_of_twenty_late_reuses_at_once_none_gets_a_token(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking, first = await signed_in(browser, person)
    assert (await refresh(browser, asking, first["refresh_token"])).status_code == 200
    await rotated_earlier(pool, first["refresh_token"])
    answers = await asyncio.gather(*(refresh(browser, asking, first["refresh_token"]) for _ in range(20)))
    assert {error_of(answer) for answer in answers} == {"invalid_grant"}


async def test_another_client_gets_nothing_for_it_and_ends_nothing(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking, first = await signed_in(browser, person)
    thief = await registered(browser)
    assert error_of(await refresh(browser, asking, first["refresh_token"], client_id=thief)) == "invalid_grant"
    second = (await refresh(browser, asking, first["refresh_token"])).json()
    await rotated_earlier(pool, first["refresh_token"])
    assert error_of(await refresh(browser, asking, first["refresh_token"], client_id=thief)) == "invalid_grant"
    assert (await refresh(browser, asking, second["refresh_token"])).status_code == 200


async def test_scopes_can_be_narrowed_for_one_access_token_and_never_widened(
    browser: httpx2.AsyncClient, person: Person
) -> None:
    asking, first = await signed_in(browser, person)
    narrow = (await refresh(browser, asking, first["refresh_token"], scope="clawbench:read")).json()
    assert narrow["scope"] == "clawbench:read"
    told = await browser.get("/mcp", headers={"Authorization": f"Bearer {narrow['access_token']}"})
    assert told.json()["scopes"] == ["clawbench:read"]
    wide = (await refresh(browser, asking, narrow["refresh_token"])).json()
    assert wide["scope"] == "clawbench:read clawbench:run"
    for scope in ("clawbench:admin", "clawbench:read clawbench:admin", "everything"):
        assert error_of(await refresh(browser, asking, wide["refresh_token"], scope=scope)) == "invalid_scope"
    assert (await refresh(browser, asking, wide["refresh_token"])).status_code == 200


async def test_a_token_that_nobody_used_for_thirty_days_is_over(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking, first = await signed_in(browser, person)
    days = "select extract(day from expires_at - created_at)::int from clawbench.refresh_tokens"
    assert await pool.fetchval(days) == 30
    await pool.execute(
        "update clawbench.refresh_tokens set created_at = now() - interval '30 days', expires_at = now()"
    )
    assert error_of(await refresh(browser, asking, first["refresh_token"])) == "invalid_grant"
    assert await opens(browser, first["access_token"])


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"refresh_token": ""}, "invalid_request"),
        ({"refresh_token": "cbr_nobodys"}, "invalid_grant"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"resource": "https://elsewhere.test/mcp"}, "invalid_target"),
    ],
)
async def test_a_wrong_refresh_is_refused_and_the_right_one_still_works(
    browser: httpx2.AsyncClient, person: Person, fields: dict[str, str], error: str
) -> None:
    asking, first = await signed_in(browser, person)
    asked = {"refresh_token": first["refresh_token"], **fields}
    assert error_of(await refresh(browser, asking, **asked)) == error
    assert (await refresh(browser, asking, first["refresh_token"])).status_code == 200


async def test_an_access_token_is_no_refresh_token(browser: httpx2.AsyncClient, person: Person) -> None:
    asking, first = await signed_in(browser, person)
    assert error_of(await refresh(browser, asking, first["access_token"])) == "invalid_grant"
    assert not await opens(browser, first["refresh_token"])


async def test_stopping_all_of_a_users_tokens_stops_what_would_give_new_ones(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking, first = await signed_in(browser, person)
    await revoke_access(pool, person.user.id)
    assert not await opens(browser, first["access_token"])
    assert error_of(await refresh(browser, asking, first["refresh_token"])) == "invalid_grant"
