"""The kill switch of an account ends all that acts for it or could come to, and nothing of anybody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from clawbench.flows.revoke_access import Ended, revoke_access
from clawbench.model.caller import Scope
from clawbench.model.client import CLI, DEVICE_CODE_GRANT
from clawbench.model.secret import API_KEY_PREFIX, new_secret, typed
from clawbench.store.api_keys import save_key
from clawbench.store.authorizations import lock_code, redeem_code
from clawbench.store.db import Pool
from clawbench.store.device_codes import approve_device_code, undecided_device_code
from clawbench.store.grants import make_grant
from clawbench.store.users import new_setup_link, user_of_setup_link
from tests.oauth.flow import RESOURCE, Asking, code_for, error_of, opens, refresh, registered, signed_in
from tests.sign_in_app import Person, app_on, browser_of, set_up, somebody, token_of

WITHIN_S = 10.0
_SOMEBODY_WAITS = """
    select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')
"""


@dataclass(frozen=True, kw_only=True)
class Everything:
    """All that a person can have at once."""

    person: Person
    browser: httpx2.AsyncClient
    asking: Asking
    given: dict[str, Any]
    operators_token: str
    key: str
    link: str
    code: str
    device_code: str

    async def working(self, pool: Pool) -> set[str]:
        """What of it is good without being used up."""
        good = {
            "session": (await self.browser.get("/account")).status_code == 200,
            "setup link": await user_of_setup_link(pool, self.link) is not None,
            "access token": await opens(self.browser, self.given["access_token"]),
            "operator's token": await opens(self.browser, self.operators_token),
            "key": await opens(self.browser, self.key),
        }
        return {name for name, is_good in good.items() if is_good}

    async def redeem_device_code(self) -> httpx2.Response:
        asked = {"grant_type": DEVICE_CODE_GRANT, "client_id": CLI.id, "device_code": self.device_code}
        return await self.browser.post("/oauth/token", data=asked)


@asynccontextmanager
async def everything(pool: Pool) -> AsyncGenerator[Everything]:
    """Somebody new who has one of each."""
    person, key = await somebody(pool), new_secret(API_KEY_PREFIX)
    whose = {"user_id": person.user.id, "agent_id": person.agent.id}
    async with browser_of(app_on(pool)) as browser:
        await set_up(browser, person)
        asking, given = await signed_in(browser, person)
        await save_key(pool, key, name="a key", scopes=[Scope.READ], lifetime=None, **whose)
        asked = await browser.post("/oauth/device_authorization", data={"client_id": CLI.id, "resource": RESOURCE})
        waiting = await undecided_device_code(pool, typed(asked.json()["user_code"]))
        assert waiting is not None
        assert await approve_device_code(pool, waiting.id, **whose)
        async with pool.acquire() as connection, connection.transaction():
            link = await new_setup_link(connection, person.user.id)
        yield Everything(
            person=person,
            browser=browser,
            asking=asking,
            given=given,
            operators_token=await token_of(pool, person),
            key=key,
            link=link,
            code=await code_for(browser, asking, person),
            device_code=asked.json()["device_code"],
        )


async def test_everything_of_one_person_ends_and_everything_of_another_goes_on(pool: Pool) -> None:
    async with AsyncExitStack() as stack:
        mine, theirs = [await stack.enter_async_context(everything(pool)) for _ in range(2)]
        all_of_it = await mine.working(pool)
        assert len(all_of_it) == 5
        assert await revoke_access(pool, mine.person.user.id) == Ended(
            sessions=1, setup_links=1, unredeemed_approvals=2, connected_programs=1, access_tokens=2, api_keys=1
        )

        assert await mine.working(pool) == set()
        assert error_of(await refresh(mine.browser, mine.asking, mine.given["refresh_token"])) == "invalid_grant"
        assert error_of(await mine.asking.exchange(mine.browser, mine.code)) == "invalid_grant"
        assert error_of(await mine.redeem_device_code()) == "access_denied"

        assert await theirs.working(pool) == all_of_it
        assert (await refresh(theirs.browser, theirs.asking, theirs.given["refresh_token"])).status_code == 200
        assert (await theirs.asking.exchange(theirs.browser, theirs.code)).status_code == 200
        assert (await theirs.redeem_device_code()).status_code == 200

        nothing = await revoke_access(pool, mine.person.user.id)
        assert nothing == Ended(
            sessions=0, setup_links=0, unredeemed_approvals=0, connected_programs=0, access_tokens=0, api_keys=0
        )


async def test_a_code_that_is_being_redeemed_at_that_moment_gives_nothing_that_lasts(pool: Pool) -> None:
    person = await somebody(pool)
    async with browser_of(app_on(pool)) as browser:
        await set_up(browser, person)
        asking = Asking(client_id=await registered(browser))
        code = await code_for(browser, asking, person)
    async with pool.acquire() as connection, connection.transaction():
        found = await lock_code(connection, code, client_id=asking.client_id)
        assert found is not None
        revoking = asyncio.create_task(revoke_access(pool, person.user.id))
        async with asyncio.timeout(WITHIN_S):
            while not await pool.fetchval(_SOMEBODY_WAITS):
                assert not revoking.done()
                await asyncio.sleep(0.01)
        grant = await make_grant(
            connection, found.approved, client_id=asking.client_id, scopes=found.scopes, resource=found.resource
        )
        await redeem_code(connection, found.authorization_id, grant_id=grant.id)
    ended = await revoking
    assert (ended.unredeemed_approvals, ended.connected_programs) == (0, 1)
    assert await pool.fetchval("select revoked_at is not null from clawbench.grants where id = $1", grant.id)
