"""Revoke access: the kill switch of an account ends all that acts for it, at once; signing in again begins anew."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from clawbench.store.api_keys import revoke_keys_of
from clawbench.store.authorizations import withdraw_approvals_of
from clawbench.store.db import Pool
from clawbench.store.device_codes import withdraw_device_approvals_of
from clawbench.store.grants import revoke_grants_of
from clawbench.store.sessions import end_sessions_of
from clawbench.store.tokens import revoke_tokens_of
from clawbench.store.users import end_setup_links_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How much of each was ended."""

    sessions: int
    setup_links: int
    unredeemed_approvals: int
    connected_programs: int
    """Grants; with each end its refresh tokens."""
    access_tokens: int
    api_keys: int


async def revoke_access(pool: Pool, user_id: UUID) -> Ended:
    """End the user's sessions and setup links, and everything that acts, or could come to act, as their agents."""
    async with pool.acquire() as connection, connection.transaction():
        setup_links = await end_setup_links_of(connection, user_id)
        sessions = await end_sessions_of(connection, user_id)
        # Before the grants: an approval that is just being redeemed has given its grant once this has waited for it.
        approvals = await withdraw_approvals_of(connection, user_id)
        device_approvals = await withdraw_device_approvals_of(connection, user_id)
        return Ended(
            sessions=sessions,
            setup_links=setup_links,
            unredeemed_approvals=approvals + device_approvals,
            connected_programs=await revoke_grants_of(connection, user_id),
            access_tokens=await revoke_tokens_of(connection, user_id),
            api_keys=await revoke_keys_of(connection, user_id),
        )
