"""Device codes: a client waits with one half, a person decides with the other, and it is redeemed once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from clawbench.model.caller import Scope
from clawbench.model.decision import Approved, Denied, Pending
from clawbench.model.secret import hashed
from clawbench.store.db import Connection, Db, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCode:
    """A sign-in that a client asked for and that is not redeemed yet."""

    id: UUID
    user_code: str
    client_id: str
    scopes: frozenset[Scope]
    resource: str
    proposed_agent_name: str | None
    is_expired: bool
    decision: Pending | Denied | Approved


async def save_device_code(
    db: Db,
    *,
    device_code: str,
    user_code: str,
    client_id: str,
    scopes: Collection[Scope],
    resource: str,
    proposed_agent_name: str | None,
) -> bool:
    """Remember a request to sign in; False if the user code is in use by another one."""
    saved = await db.fetchval(
        """
        insert into clawbench.device_codes (device_code_sha256, user_code, client_id, scopes, resource, agent_name)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (user_code) do nothing
        returning true
        """,
        hashed(device_code),
        user_code,
        client_id,
        sorted(scopes),
        resource,
        proposed_agent_name,
    )
    return saved is True


async def lock_device_code(connection: Connection, device_code: str) -> DeviceCode | None:
    """The code that a client polls with, held until the transaction ends; None once redeemed."""
    row = await connection.fetchrow(
        """
        select d.*, d.expires_at <= clock_timestamp() as is_expired, a.name as chosen_agent_name
        from clawbench.device_codes d
        left join clawbench.agents a on a.id = d.agent_id
        where d.device_code_sha256 = $1 and d.redeemed_at is null
        for no key update of d
        """,
        hashed(device_code),
    )
    return None if row is None else _device_code(row)


async def undecided_device_code(db: Db, user_code: str) -> DeviceCode | None:
    """The request that a person may decide about now."""
    row = await db.fetchrow(
        """
        select d.*, false as is_expired, null as chosen_agent_name
        from clawbench.device_codes d
        where d.user_code = $1 and d.approved_at is null and d.denied_at is null and d.expires_at > now()
        """,
        user_code,
    )
    return None if row is None else _device_code(row)


async def note_poll(connection: Connection, device_code_id: UUID) -> bool:
    """Record a poll of a locked code; True if it came too soon, and then the interval is five seconds longer.

    Half a second is forgiven, because the network does not keep time.
    """
    too_soon = await connection.fetchval(
        """
        with before as (
            select id, polled_at + make_interval(secs => poll_interval_s - 0.5) > clock_timestamp() as too_soon
            from clawbench.device_codes
            where id = $1
        )
        update clawbench.device_codes d
        set polled_at = clock_timestamp(), poll_interval_s = poll_interval_s + case when too_soon then 5 else 0 end
        from before
        where d.id = before.id
        returning too_soon
        """,
        device_code_id,
    )
    return too_soon is True


async def redeem_device_code(connection: Connection, device_code_id: UUID) -> None:
    """Use a locked code up."""
    await connection.execute(
        """
        update clawbench.device_codes
        set redeemed_at = clock_timestamp()
        where id = $1
        """,
        device_code_id,
    )


async def approve_device_code(db: Db, device_code_id: UUID, *, user_id: UUID, agent_id: UUID) -> bool:
    """Let the client act as the agent; False if the code is decided or expired by now."""
    approved = await db.fetchval(
        """
        update clawbench.device_codes
        set approved_at = now(), user_id = $2, agent_id = $3
        where id = $1 and approved_at is null and denied_at is null and expires_at > now()
        returning true
        """,
        device_code_id,
        user_id,
        agent_id,
    )
    return approved is True


async def deny_device_code(db: Db, device_code_id: UUID, *, user_id: UUID) -> bool:
    """Refuse the client; False if the code is decided or expired by now."""
    denied = await db.fetchval(
        """
        update clawbench.device_codes
        set denied_at = now(), user_id = $2
        where id = $1 and approved_at is null and denied_at is null and expires_at > now()
        returning true
        """,
        device_code_id,
        user_id,
    )
    return denied is True


async def withdraw_device_approvals_of(db: Db, user_id: UUID) -> int:
    """Turn what a user approved and no client has redeemed into a no, which the clients hear; how much that was."""
    return await db.fetchval(
        """
        with withdrawn as (
            update clawbench.device_codes
            set approved_at = null, agent_id = null, denied_at = now()
            where user_id = $1 and approved_at is not null and redeemed_at is null
            returning id
        )
        select count(*)
        from withdrawn
        """,
        user_id,
    )


async def sweep_device_codes(db: Db) -> None:
    """Forget codes a day after they expired; until then a late client hears ``expired_token``."""
    await db.execute(
        """
        delete from clawbench.device_codes
        where expires_at < now() - interval '1 day'
        """
    )


def _device_code(row: Row) -> DeviceCode:
    return DeviceCode(
        id=row["id"],
        user_code=row["user_code"],
        client_id=row["client_id"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        resource=row["resource"],
        proposed_agent_name=row["agent_name"],
        is_expired=row["is_expired"],
        decision=_decision(row),
    )


def _decision(row: Row) -> Pending | Denied | Approved:
    if row["approved_at"] is not None:
        return Approved(user_id=row["user_id"], agent_id=row["agent_id"], agent_name=row["chosen_agent_name"])
    return Denied() if row["denied_at"] is not None else Pending()
