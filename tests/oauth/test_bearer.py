"""A bearer token opens the door for one agent at one server, and everything else is told where to sign in."""

from __future__ import annotations

from datetime import timedelta

import pytest

from clawbench.errors import NotAuthenticated, Refused
from clawbench.model.caller import Scope
from clawbench.model.secret import hashed
from clawbench.oauth.bearer import authenticate, issue_token
from clawbench.store.agents import agent_named, archive_agent
from clawbench.store.db import Pool
from clawbench.store.tokens import revoke_token
from clawbench.store.users import set_admin
from tests.sign_in_app import ORIGIN, app_on, browser_of, somebody, token_of

RESOURCE = f"{ORIGIN}/mcp"


async def test_a_good_token_says_which_agent_of_which_user_is_calling(pool: Pool) -> None:
    person = await somebody(pool)
    caller = await authenticate(pool, RESOURCE, f"Bearer {await token_of(pool, person, Scope.READ)}")
    assert (caller.user_id, caller.agent_id, caller.agent_name) == (
        person.user.id,
        person.agent.id,
        person.agent.name,
    )
    assert caller.scopes == {Scope.READ}


async def test_only_the_hash_of_a_token_is_stored(pool: Pool) -> None:
    token = await token_of(pool, await somebody(pool))
    row = await pool.fetchrow(
        "select t::text as everything from clawbench.access_tokens t where token_sha256 = $1", hashed(token)
    )
    assert row is not None
    assert token not in row["everything"]
    assert token.removeprefix("cbt_") not in row["everything"]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic cbt_x", "Bearer cbt_unknown", "Bearer \xff"])
async def test_a_missing_or_unknown_token_is_refused(pool: Pool, header: str | None) -> None:
    with pytest.raises(NotAuthenticated):
        await authenticate(pool, RESOURCE, header)


async def test_a_token_is_good_at_its_own_server_only(pool: Pool) -> None:
    token = await token_of(pool, await somebody(pool))
    with pytest.raises(NotAuthenticated):
        await authenticate(pool, "https://elsewhere.test/mcp", f"Bearer {token}")


async def test_an_expired_token_is_refused(pool: Pool) -> None:
    token = await token_of(pool, await somebody(pool))
    await pool.execute(
        """
        update clawbench.access_tokens
        set created_at = now() - interval '2 hours', expires_at = now() - interval '1 second'
        where token_sha256 = $1
        """,
        hashed(token),
    )
    with pytest.raises(NotAuthenticated):
        await authenticate(pool, RESOURCE, f"Bearer {token}")


async def test_a_revoked_token_stops_at_once_and_revoking_it_again_does_nothing(pool: Pool) -> None:
    token = await token_of(pool, await somebody(pool))
    assert await revoke_token(pool, token)
    assert not await revoke_token(pool, token)
    with pytest.raises(NotAuthenticated):
        await authenticate(pool, RESOURCE, f"Bearer {token}")


async def test_an_archived_agents_tokens_stop_and_it_gets_no_new_ones(pool: Pool) -> None:
    person = await somebody(pool)
    token = await token_of(pool, person)
    await archive_agent(pool, person.agent.id)
    with pytest.raises(NotAuthenticated):
        await authenticate(pool, RESOURCE, f"Bearer {token}")
    archived = await agent_named(pool, person.agent.name.upper())
    assert archived is not None
    with pytest.raises(Refused, match="archived"):
        await issue_token(pool, agent=archived, scopes=[Scope.READ], lifetime=timedelta(hours=1), resource=RESOURCE)


async def test_admin_is_issued_for_an_admins_agent_and_ends_with_the_role(pool: Pool) -> None:
    person = await somebody(pool, admin=True)
    token = await token_of(pool, person, Scope.READ, Scope.ADMIN)
    assert (await authenticate(pool, RESOURCE, f"Bearer {token}")).scopes == {Scope.READ, Scope.ADMIN}
    await set_admin(pool, person.user.id, admin=False)
    assert (await authenticate(pool, RESOURCE, f"Bearer {token}")).scopes == {Scope.READ}


async def test_admin_is_not_issued_for_anybody_else(pool: Pool) -> None:
    person = await somebody(pool)
    with pytest.raises(Refused, match="not an admin"):
        await issue_token(
            pool, agent=person.agent, scopes=[Scope.ADMIN], lifetime=timedelta(hours=1), resource=RESOURCE
        )


async def test_the_door_lets_the_caller_through_to_the_app(pool: Pool) -> None:
    person = await somebody(pool)
    async with browser_of(app_on(pool)) as client:
        answer = await client.get("/mcp", headers={"Authorization": f"bearer {await token_of(pool, person)}"})
    assert answer.status_code == 200
    assert answer.json() == {"agent": person.agent.name, "scopes": ["clawbench:read", "clawbench:run"]}


async def test_the_door_answers_401_and_leads_to_the_metadata(pool: Pool) -> None:
    async with browser_of(app_on(pool)) as client:
        answer = await client.get("/mcp")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == (
        f'Bearer resource_metadata="{ORIGIN}/.well-known/oauth-protected-resource/mcp", '
        'scope="clawbench:read clawbench:run"'
    )
    assert answer.json()["error"]["code"] == "not_authenticated"


async def test_the_door_names_a_bad_token_as_invalid(pool: Pool) -> None:
    async with browser_of(app_on(pool)) as client:
        answer = await client.get("/mcp", headers={"Authorization": "Bearer cbt_nobodys"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token", resource_metadata=')
    assert "cbt_nobodys" not in answer.text
