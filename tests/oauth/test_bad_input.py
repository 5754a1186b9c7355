"""Whatever a parameter holds, the answer is one of the RFCs' errors or a page, and shows nothing that was sent."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from clawbench.model.client import DEVICE_CODE_GRANT
from clawbench.store.db import Pool
from tests.oauth.flow import HERE, Asking, registered, signed_in
from tests.sign_in_app import Person

NASTY = ['"', "\\", "'", "%", "%00", "{}", " ", "a b", "<script>x</script>", "\x7f", "\u202e", "\n", "x" * 5000, "None"]
ERRORS = {
    *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"),
    *("invalid_scope", "invalid_target", "unsupported_response_type"),
}


@pytest.mark.parametrize(
    "parameter",
    ["response_type", "client_id", "redirect_uri", "scope", "state", "resource", "code_challenge", "prompt"],
)
async def test_at_the_authorization_endpoint(browser: httpx2.AsyncClient, parameter: str) -> None:
    asking = Asking(client_id=await registered(browser))
    for nasty in NASTY:
        answer = await browser.get(asking.address(**{parameter: nasty}))
        if answer.status_code == 400:
            assert "This sign-in cannot go on" in answer.text
            assert "<script" not in answer.text
            continue
        assert answer.status_code == 303, (nasty, answer.text)
        where = answer.headers["location"]
        if not where.startswith("/consent?request="):
            assert where.startswith(f"{HERE}?")
            assert parse_qs(urlsplit(where).query)["error"][0] in ERRORS


@pytest.mark.parametrize("grant_type", ["authorization_code", "refresh_token", DEVICE_CODE_GRANT])
@pytest.mark.parametrize(
    "parameter",
    [
        *("grant_type", "client_id", "client_secret", "redirect_uri", "code", "code_verifier"),
        *("refresh_token", "device_code", "scope", "resource"),
    ],
)
async def test_at_the_token_endpoint(
    browser: httpx2.AsyncClient, person: Person, pool: Pool, grant_type: str, parameter: str
) -> None:
    asking, told = await signed_in(browser, person)
    fields = {
        "grant_type": grant_type,
        "client_id": asking.client_id,
        "redirect_uri": HERE,
        "code": "x",
        "code_verifier": asking.verifier,
        "refresh_token": "cbr_nobodys",
        "device_code": "x",
    }
    for nasty in NASTY:
        answer = await browser.post("/oauth/token", data={**fields, parameter: nasty})
        assert answer.status_code == 400, (nasty, answer.text)
        assert answer.json()["error"] in ERRORS
        assert answer.headers["cache-control"] == "no-store"
        for secret in (asking.verifier, told["access_token"], told["refresh_token"]):
            assert secret not in answer.text
    assert await pool.fetchval("select count(*) from clawbench.access_tokens") == 1


@pytest.mark.parametrize("parameter", ["token", "token_type_hint", "client_id"])
async def test_at_the_revocation_endpoint(browser: httpx2.AsyncClient, person: Person, parameter: str) -> None:
    asking, _ = await signed_in(browser, person)
    for nasty in NASTY:
        fields = {"client_id": asking.client_id, "token": "cbt_nobodys", parameter: nasty}
        answer = await browser.post("/oauth/revoke", data=fields)
        assert answer.status_code == 200 or (answer.status_code == 400 and answer.json()["error"] in ERRORS)


@pytest.mark.parametrize("parameter", ["client_id", "scope", "resource", "agent_name"])
async def test_at_the_device_authorization_endpoint(browser: httpx2.AsyncClient, parameter: str) -> None:
    for nasty in NASTY:
        answer = await browser.post(
            "/oauth/device_authorization", data={"client_id": "clawbench-cli", parameter: nasty}
        )
        assert answer.status_code == 200 or (answer.status_code == 400 and answer.json()["error"] in ERRORS)
