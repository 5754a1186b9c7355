"""What the schema and the sweeps promise about clients, grants and what is given under them."""

from __future__ import annotations

from datetime import timedelta

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import pytest

from clawbench.model.caller import Scope
from clawbench.model.decision import Approved
from clawbench.model.secret import new_secret
from clawbench.store.authorizations import (
    approve_authorization,
    lock_code,
    redeem_code,
    save_authorization,
    sweep_authorizations,
    undecided_authorization,
)
from clawbench.store.clients import client_with_id, register_client
from clawbench.store.db import Pool
from clawbench.store.grants import Grant, Why, make_grant, revoke_grant, sweep_grants
from clawbench.store.refresh_tokens import save_refresh_token, sweep_refresh_tokens
from clawbench.store.tokens import save_token, sweep_tokens
from tests.sign_in_app import Person, somebody

RESOURCE = "https://clawbench.test/mcp"


def approved_by(person: Person) -> Approved:
    return Approved(user_id=person.user.id, agent_id=person.agent.id, agent_name=person.agent.name)


async def a_grant(pool: Pool, person: Person) -> Grant:
    """A grant that came of a redeemed code, with one token of each kind."""
    client = (await register_client(pool, name="Somebody's", redirect_uris=["http://localhost/cb"])).client
    request = await save_authorization(
        pool,
        client_id=client.id,
        redirect_uri="http://localhost/cb",
        scopes=[Scope.READ],
        resource=RESOURCE,
        state=None,
        code_challenge="x" * 43,
    )
    waiting = await undecided_authorization(pool, request)
    assert waiting is not None
    code = await approve_authorization(pool, waiting.id, user_id=person.user.id, agent_id=person.agent.id)
    assert code is not None
    async with pool.acquire() as connection, connection.transaction():
        found = await lock_code(connection, code, client_id=client.id)
        assert found is not None
        assert found.approved == approved_by(person)
        grant = await make_grant(
            connection, found.approved, client_id=client.id, scopes=found.scopes, resource=found.resource
        )
        await redeem_code(connection, found.authorization_id, grant_id=grant.id)
        await save_refresh_token(connection, new_secret(), grant.id)
        await save_token(
            connection,
            new_secret(),
            user_id=person.user.id,
            agent_id=person.agent.id,
            client_id=client.id,
            scopes=[Scope.READ],
            resource=RESOURCE,
            lifetime=timedelta(hours=1),
            grant_id=grant.id,
        )
    return grant


async def sweep(pool: Pool) -> None:
    for each in (sweep_tokens, sweep_refresh_tokens, sweep_authorizations, sweep_grants):
        await each(pool)


async def test_a_grant_is_revoked_once_and_for_one_reason(pool: Pool) -> None:
    grant = await a_grant(pool, await somebody(pool))
    assert await revoke_grant(pool, grant.id, Why.USER)
    assert not await revoke_grant(pool, grant.id, Why.CLIENT)
    assert await pool.fetchval("select revoked_why from clawbench.grants") == "user"


async def test_a_grant_is_forgotten_with_the_last_of_what_it_gave_and_its_client_never(pool: Pool) -> None:
    grant = await a_grant(pool, await somebody(pool))
    await sweep(pool)
    assert await pool.fetchval("select count(*) from clawbench.grants") == 1
    await pool.execute("update clawbench.grants set last_used_at = now() - interval '91 days'")
    await sweep(pool)
    assert await pool.fetchval("select count(*) from clawbench.grants") == 1
    for table in ("access_tokens", "refresh_tokens", "authorizations"):
        await pool.execute(
            f"""
            update clawbench.{table}
            set created_at = created_at - interval '91 days', expires_at = expires_at - interval '91 days'
            """
        )
    await sweep(pool)
    for table in ("access_tokens", "refresh_tokens", "authorizations", "grants"):
        assert await pool.fetchval(f"select count(*) from clawbench.{table}") == 0, table
    assert await client_with_id(pool, grant.client_id) is not None


async def test_the_schema_grants_nobody_admin_or_somebody_elses_agent(pool: Pool) -> None:
    mine, theirs = await somebody(pool, admin=True), await somebody(pool)
    with pytest.raises(asyncpg.CheckViolationError, match="grant_scopes_are_offered"):
        await make_grant(pool, approved_by(mine), client_id="clawbench-cli", scopes=[Scope.ADMIN], resource=RESOURCE)
    mixed = Approved(user_id=mine.user.id, agent_id=theirs.agent.id, agent_name=theirs.agent.name)
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="grant_acts_as_an_agent_of_its_user"):
        await make_grant(pool, mixed, client_id="clawbench-cli", scopes=[Scope.READ], resource=RESOURCE)


@pytest.mark.parametrize("role", ["anon", "authenticated"])
@pytest.mark.parametrize("table", ["clients", "grants", "refresh_tokens", "authorizations"])
async def test_the_public_roles_cannot_read_it(pool: Pool, role: str, table: str) -> None:
    guarded = await pool.fetchval(
        "select relrowsecurity from pg_class where oid = ('clawbench.' || $1::text)::regclass", table
    )
    assert guarded is True
    async with pool.acquire() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with connection.transaction():
                await connection.execute(f"set local role {role}")
                await connection.fetch(f"select * from clawbench.{table}")
