"""A code is exchanged once, by the client it was made for, with the verifier that only this client knows."""

from __future__ import annotations

import asyncio
import logging

import httpx2
import pytest
from authlib.oauth2.rfc7636.challenge import (
    compare_s256_code_challenge,  # pyright: ignore[reportUnknownVariableType]
)
from hypothesis import given
from hypothesis import strategies as st

from clawbench.model.caller import Scope
from clawbench.model.secret import hashed
from clawbench.oauth.bearer import authenticate
from clawbench.store.agents import archive_agent
from clawbench.store.db import Pool
from tests.oauth.flow import (
    RESOURCE,
    Asking,
    challenge_of,
    code_for,
    error_of,
    opens,
    refresh,
    registered,
    signed_in,
)
from tests.sign_in_app import Person

UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


async def redeemed_earlier(pool: Pool, code: str) -> None:
    await pool.execute(
        """
        update clawbench.authorizations
        set redeemed_at = redeemed_at - interval '11 seconds'
        where code_sha256 = $1
        """,
        hashed(code),
    )


async def test_an_approved_code_gives_tokens_for_the_chosen_agent(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking = Asking(client_id=await registered(browser))
    code = await code_for(browser, asking, person, scope="clawbench:read")
    answer = await asking.exchange(browser, code)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert told.pop("access_token").startswith("cbt_")
    assert told.pop("refresh_token").startswith("cbr_")
    assert told == {
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "clawbench:read",
        "agent_name": person.agent.name,
    }
    caller = await authenticate(pool, RESOURCE, f"Bearer {answer.json()['access_token']}")
    assert (caller.agent_id, caller.scopes) == (person.agent.id, {Scope.READ})


async def test_of_twenty_exchanges_at_once_exactly_one_gets_tokens_and_they_stay_good(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking = Asking(client_id=await registered(browser))
    code = await code_for(browser, asking, person)
    answers = await asyncio.gather(*(asking.exchange(browser, code) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    assert {error_of(answer) for answer in answers if answer.status_code == 400} == {"invalid_grant"}
    assert await pool.fetchval("select count(*) from clawbench.access_tokens") == 1
    assert await pool.fetchval("select count(*) from clawbench.grants") == 1
    given_to = next(answer.json() for answer in answers if answer.status_code == 200)
    assert await opens(browser, given_to["access_token"])


async def test_a_code_that_is_used_again_later_takes_back_what_it_gave(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking = Asking(client_id=await registered(browser))
    code = await code_for(browser, asking, person)
    told = (await asking.exchange(browser, code)).json()
    assert error_of(await asking.exchange(browser, code)) == "invalid_grant"
    assert await opens(browser, told["access_token"])
    await redeemed_earlier(pool, code)
    assert error_of(await asking.exchange(browser, code, code_verifier=None)) == "invalid_grant"
    assert not await opens(browser, told["access_token"])
    assert error_of(await refresh(browser, asking, told["refresh_token"])) == "invalid_grant"
    assert await pool.fetchval("select revoked_why from clawbench.grants") == "reused_code"


async def test_another_client_that_has_the_code_gets_nothing_and_ends_nothing(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking, thief = Asking(client_id=await registered(browser)), await registered(browser)
    code = await code_for(browser, asking, person)
    assert error_of(await asking.exchange(browser, code, client_id=thief)) == "invalid_grant"
    told = (await asking.exchange(browser, code)).json()
    await redeemed_earlier(pool, code)
    assert error_of(await asking.exchange(browser, code, client_id=thief)) == "invalid_grant"
    assert await opens(browser, told["access_token"])


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "short"}, "invalid_request"),
        ({"code_verifier": "x" * 43}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:1/callback"}, "invalid_grant"),
        ({"resource": "https://elsewhere.test/mcp"}, "invalid_target"),
        ({"code": "nobodys"}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
        ({"client_id": None}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_id": "clawbench-cli"}, "unauthorized_client"),
        ({"client_secret": "guessed"}, "invalid_client"),
    ],
)
async def test_a_wrong_exchange_is_refused_and_the_right_one_still_works(
    browser: httpx2.AsyncClient, person: Person, changed: dict[str, str | None], error: str
) -> None:
    asking = Asking(client_id=await registered(browser))
    code = await code_for(browser, asking, person)
    assert error_of(await asking.exchange(browser, code, **changed)) == error
    assert (await asking.exchange(browser, code, resource=None)).status_code == 200


async def test_the_challenge_itself_is_no_verifier(browser: httpx2.AsyncClient, person: Person) -> None:
    asking = Asking(client_id=await registered(browser))
    code = await code_for(browser, asking, person)
    plain = await asking.exchange(browser, code, code_verifier=challenge_of(asking.verifier))
    assert error_of(plain) == "invalid_grant"


async def test_a_code_expires_five_minutes_after_the_approval(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking = Asking(client_id=await registered(browser))
    code = await code_for(browser, asking, person)
    await pool.execute("update clawbench.authorizations set approved_at = now() - interval '5 minutes'")
    assert error_of(await asking.exchange(browser, code)) == "invalid_grant"


async def test_an_agent_archived_meanwhile_gets_no_working_token(
    browser: httpx2.AsyncClient, person: Person, pool: Pool
) -> None:
    asking, told = await signed_in(browser, person)
    await archive_agent(pool, person.agent.id)
    assert not await opens(browser, told["access_token"])
    assert error_of(await refresh(browser, asking, told["refresh_token"])) == "invalid_grant"


async def test_codes_and_tokens_are_stored_as_hashes_and_never_logged(
    browser: httpx2.AsyncClient, person: Person, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    asking = Asking(client_id=await registered(browser))
    with caplog.at_level(logging.DEBUG):
        code = await code_for(browser, asking, person)
        told = (await asking.exchange(browser, code)).json()
        again = (await refresh(browser, asking, told["refresh_token"])).json()
    stored = ""
    for table in ("authorizations", "access_tokens", "refresh_tokens", "grants"):
        stored += await pool.fetchval(f"select string_agg(t::text, '') from clawbench.{table} t")
    assert str(person.agent.id) in stored
    ours = [line.getMessage() for line in caplog.records if not line.name.startswith(("httpx2", "httpcore"))]
    for secret in (code, told["access_token"], told["refresh_token"], again["access_token"], again["refresh_token"]):
        assert secret not in stored
        assert secret not in "".join(ours)


def test_the_example_of_rfc_7636_holds() -> None:
    verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert compare_s256_code_challenge(verifier, challenge)
    assert challenge_of(verifier) == challenge


@given(st.text(UNRESERVED, min_size=43, max_size=128), st.text(UNRESERVED, min_size=43, max_size=128))
def test_a_challenge_is_met_by_its_own_verifier_alone(verifier: str, other: str) -> None:
    assert compare_s256_code_challenge(verifier, challenge_of(verifier))
    assert compare_s256_code_challenge(other, challenge_of(verifier)) == (other == verifier)
