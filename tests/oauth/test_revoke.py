"""A client gives back what it was given, and at once it is worth nothing."""

from __future__ import annotations

import httpx2
import pytest

from clawbench.store.db import Pool
from tests.oauth.flow import Asking, error_of, opens, refresh, registered, signed_in
from tests.sign_in_app import Person, token_of


async def revoke(client: httpx2.AsyncClient, asking: Asking, token: str, **fields: str) -> httpx2.Response:
    return await client.post("/oauth/revoke", data={"client_id": asking.client_id, "token": token, **fields})


@pytest.mark.parametrize("hint", ["refresh_token", "access_token", "something_else", ""])
async def test_a_refresh_token_ends_its_grant_whatever_the_hint_says(
    browser: httpx2.AsyncClient, person: Person, hint: str
) -> None:
    asking, told = await signed_in(browser, person)
    answer = await revoke(browser, asking, told["refresh_token"], token_type_hint=hint)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert not await opens(browser, told["access_token"])
    assert error_of(await refresh(browser, asking, told["refresh_token"])) == "invalid_grant"


async def test_a_rotated_refresh_token_still_ends_its_grant(browser: httpx2.AsyncClient, person: Person) -> None:
    asking, first = await signed_in(browser, person)
    second = (await refresh(browser, asking, first["refresh_token"])).json()
    assert (await revoke(browser, asking, first["refresh_token"])).status_code == 200
    assert not await opens(browser, second["access_token"])


async def test_an_access_token_ends_alone(browser: httpx2.AsyncClient, person: Person) -> None:
    asking, told = await signed_in(browser, person)
    assert (await revoke(browser, asking, told["access_token"])).status_code == 200
    assert not await opens(browser, told["access_token"])
    assert (await refresh(browser, asking, told["refresh_token"])).status_code == 200


async def test_giving_back_what_is_unknown_or_gone_is_fine(browser: httpx2.AsyncClient, person: Person) -> None:
    asking, told = await signed_in(browser, person)
    for token in ("nobodys", told["refresh_token"], told["refresh_token"], told["access_token"]):
        assert (await revoke(browser, asking, token)).status_code == 200


async def test_nobody_gives_back_what_is_anothers(browser: httpx2.AsyncClient, person: Person, pool: Pool) -> None:
    _, told = await signed_in(browser, person)
    other = Asking(client_id=await registered(browser))
    for token in (told["access_token"], told["refresh_token"]):
        assert error_of(await revoke(browser, other, token)) == "invalid_grant"
    operators = await token_of(pool, person)
    assert (await revoke(browser, other, operators)).status_code == 200
    assert await opens(browser, operators)
    assert await opens(browser, told["access_token"])


@pytest.mark.parametrize(
    ("fields", "error"),
    [({"token": ""}, "invalid_request"), ({"client_id": ""}, "invalid_client"), ({"client_id": "x"}, "invalid_client")],
)
async def test_a_wrong_request_is_answered_in_the_shape_of_the_rfc(
    browser: httpx2.AsyncClient, person: Person, fields: dict[str, str], error: str
) -> None:
    asking, told = await signed_in(browser, person)
    assert error_of(await revoke(browser, asking, **{"token": told["refresh_token"], **fields})) == error
    assert await opens(browser, told["access_token"])
