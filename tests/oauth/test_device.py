"""The device flow: a client waits with a code, a person decides, and the token is handed out once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from clawbench.model.caller import Scope
from clawbench.model.secret import USER_CODE_ALPHABET, hashed, typed
from clawbench.oauth.bearer import authenticate
from clawbench.oauth.device import ASKING
from clawbench.store.db import Pool
from clawbench.store.device_codes import approve_device_code, deny_device_code, undecided_device_code
from tests.sign_in_app import ORIGIN, Person, app_on, browser_of, somebody

RESOURCE = f"{ORIGIN}/mcp"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest_asyncio.fixture
async def client(pool: Pool) -> AsyncIterator[httpx2.AsyncClient]:
    await pool.execute("delete from clawbench.attempts where kind = 'device_authorization'")
    async with browser_of(app_on(pool)) as client:
        yield client


async def ask(client: httpx2.AsyncClient, **fields: str) -> httpx2.Response:
    return await client.post("/oauth/device_authorization", data={"client_id": "clawbench-cli", **fields})


async def poll(client: httpx2.AsyncClient, code: dict[str, Any], **fields: str) -> httpx2.Response:
    asked = {"grant_type": GRANT, "client_id": "clawbench-cli", "device_code": code["device_code"], **fields}
    return await client.post("/oauth/token", data=asked)


async def approve(pool: Pool, code: dict[str, Any], person: Person) -> None:
    waiting = await undecided_device_code(pool, typed(code["user_code"]))
    assert waiting is not None
    assert await approve_device_code(pool, waiting.id, user_id=person.user.id, agent_id=person.agent.id)


async def let_time_pass(pool: Pool, code: dict[str, Any], seconds: int) -> None:
    await pool.execute(
        """
        update clawbench.device_codes
        set polled_at = polled_at - make_interval(secs => $2)
        where device_code_sha256 = $1
        """,
        hashed(code["device_code"]),
        seconds,
    )


def error_of(answer: httpx2.Response) -> str:
    assert answer.status_code == 400
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()["error"]


async def test_a_client_gets_a_code_that_a_person_can_type(client: httpx2.AsyncClient) -> None:
    answer = await ask(client, scope="clawbench:read clawbench:run", resource=RESOURCE)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    code = answer.json()
    assert code["verification_uri"] == f"{ORIGIN}/device"
    assert code["verification_uri_complete"] == f"{ORIGIN}/device?user_code={code['user_code']}"
    assert (code["expires_in"], code["interval"]) == (600, 5)
    first, dash, second = code["user_code"][:4], code["user_code"][4], code["user_code"][5:]
    assert dash == "-"
    assert len(second) == 4
    assert set(first + second) <= set(USER_CODE_ALPHABET)


async def test_an_approved_code_gives_a_token_for_the_chosen_agent(client: httpx2.AsyncClient, pool: Pool) -> None:
    person = await somebody(pool)
    code = (await ask(client, scope="clawbench:read")).json()
    assert error_of(await poll(client, code)) == "authorization_pending"
    await approve(pool, code, person)
    answer = await poll(client, code, resource=RESOURCE)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert told["access_token"].startswith("cbt_")
    assert told["refresh_token"].startswith("cbr_")
    the_rest = {key: told[key] for key in told if key not in ("access_token", "refresh_token")}
    assert the_rest == {
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "clawbench:read",
        "agent_name": person.agent.name,
    }
    caller = await authenticate(pool, RESOURCE, f"Bearer {told['access_token']}")
    assert (caller.agent_id, caller.scopes) == (person.agent.id, {Scope.READ})


async def test_no_scope_means_all_that_are_offered(client: httpx2.AsyncClient, pool: Pool) -> None:
    code = (await ask(client)).json()
    await approve(pool, code, await somebody(pool))
    assert (await poll(client, code)).json()["scope"] == "clawbench:read clawbench:run"


async def test_of_twenty_exchanges_at_once_exactly_one_gets_the_token(client: httpx2.AsyncClient, pool: Pool) -> None:
    person = await somebody(pool)
    code = (await ask(client)).json()
    await approve(pool, code, person)
    answers = await asyncio.gather(*(poll(client, code) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    assert {answer.json()["error"] for answer in answers if answer.status_code == 400} == {"invalid_grant"}
    tokens = await pool.fetchval("select count(*) from clawbench.access_tokens where user_id = $1", person.user.id)
    assert tokens == 1


async def test_a_denied_client_hears_it(client: httpx2.AsyncClient, pool: Pool) -> None:
    person = await somebody(pool)
    code = (await ask(client)).json()
    waiting = await undecided_device_code(pool, typed(code["user_code"]))
    assert waiting is not None
    assert await deny_device_code(pool, waiting.id, user_id=person.user.id)
    assert error_of(await poll(client, code)) == "access_denied"
    assert not await approve_device_code(pool, waiting.id, user_id=person.user.id, agent_id=person.agent.id)


async def test_an_expired_code_says_so_even_when_it_was_approved(client: httpx2.AsyncClient, pool: Pool) -> None:
    code = (await ask(client)).json()
    await approve(pool, code, await somebody(pool))
    await pool.execute(
        "update clawbench.device_codes set expires_at = now() where device_code_sha256 = $1",
        hashed(code["device_code"]),
    )
    assert error_of(await poll(client, code)) == "expired_token"


async def test_a_client_that_polls_too_fast_must_slow_down_and_that_is_remembered(
    client: httpx2.AsyncClient, pool: Pool
) -> None:
    code = (await ask(client)).json()
    assert error_of(await poll(client, code)) == "authorization_pending"
    assert error_of(await poll(client, code)) == "slow_down"
    await let_time_pass(pool, code, 6)
    assert error_of(await poll(client, code)) == "slow_down"
    await let_time_pass(pool, code, 16)
    assert error_of(await poll(client, code)) == "authorization_pending"


@pytest.mark.parametrize("scope", ["clawbench:admin", "clawbench:read clawbench:admin", "everything"])
async def test_only_offered_scopes_can_be_asked_for(client: httpx2.AsyncClient, scope: str) -> None:
    assert error_of(await ask(client, scope=scope)) == "invalid_scope"


async def test_a_token_for_another_server_cannot_be_asked_for(client: httpx2.AsyncClient, pool: Pool) -> None:
    assert error_of(await ask(client, resource="https://elsewhere.test/mcp")) == "invalid_target"
    code = (await ask(client)).json()
    await approve(pool, code, await somebody(pool))
    assert error_of(await poll(client, code, resource="https://elsewhere.test/mcp")) == "invalid_target"
    assert (await poll(client, code)).status_code == 200


async def test_an_unknown_client_is_refused_at_both_endpoints(client: httpx2.AsyncClient) -> None:
    code = (await ask(client)).json()
    assert error_of(await ask(client, client_id="somebody-else")) == "invalid_client"
    assert error_of(await poll(client, code, client_id="somebody-else")) == "invalid_client"
    assert error_of(await client.post("/oauth/device_authorization", data={"scope": ""})) == "invalid_client"


@pytest.mark.parametrize("agent_name", ["a", "-x-", "has space", "x" * 41])
async def test_an_agent_name_nobody_can_have_is_refused(client: httpx2.AsyncClient, agent_name: str) -> None:
    assert error_of(await ask(client, agent_name=agent_name)) == "invalid_request"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password", "client_id": "clawbench-cli"}, "unsupported_grant_type"),
        ({"grant_type": 'a"\\b', "client_id": "clawbench-cli"}, "unsupported_grant_type"),
        ({"grant_type": GRANT, "client_id": "clawbench-cli"}, "invalid_request"),
        ({"grant_type": GRANT, "client_id": "clawbench-cli", "device_code": "nobodys"}, "invalid_grant"),
        ({"grant_type": GRANT, "client_id": "clawbench-cli", "device_code": "é"}, "invalid_request"),
        ({"grant_type": GRANT, "client_id": "clawbench-cli", "device_code": "a\0b"}, "invalid_request"),
    ],
)
async def test_bad_token_requests_are_answered_in_the_shape_of_the_rfc(
    client: httpx2.AsyncClient, fields: dict[str, str], error: str
) -> None:
    assert error_of(await client.post("/oauth/token", data=fields)) == error


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/device_authorization"])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("client_id=clawbench-cli&client_id=clawbench-cli", "application/x-www-form-urlencoded"),
        ("scope=" + "x" * 20_000, "application/x-www-form-urlencoded"),
        ("scope=%ff", "application/x-www-form-urlencoded"),
        ('{"client_id": "clawbench-cli"}', "application/json"),
    ],
)
async def test_what_is_not_a_proper_form_is_an_invalid_request(
    client: httpx2.AsyncClient, path: str, content: str, kind: str
) -> None:
    answer = await client.post(path, content=content, headers={"Content-Type": kind})
    assert error_of(answer) == "invalid_request"


async def test_codes_cannot_be_asked_for_without_end(client: httpx2.AsyncClient, pool: Pool) -> None:
    assert (await ask(client)).status_code == 200
    await pool.execute("update clawbench.attempts set tries = $1 where kind = 'device_authorization'", ASKING.tries)
    answer = await ask(client)
    assert answer.status_code == 429
    assert answer.json()["error"] == "temporarily_unavailable"
    assert 0 < int(answer.headers["retry-after"]) <= 601


async def test_no_code_or_token_is_logged(
    client: httpx2.AsyncClient, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        code = (await ask(client)).json()
        await poll(client, code)
        await approve(pool, code, await somebody(pool))
        token = (await poll(client, code)).json()["access_token"]
    for secret in (code["device_code"], code["user_code"], token):
        assert secret not in caplog.text
        assert typed(secret) not in caplog.text


async def test_secrets_are_stored_as_hashes(client: httpx2.AsyncClient, pool: Pool) -> None:
    code = (await ask(client)).json()
    row = await pool.fetchrow(
        "select d::text as everything from clawbench.device_codes d where user_code = $1", typed(code["user_code"])
    )
    assert row is not None
    assert code["device_code"] not in row["everything"]
