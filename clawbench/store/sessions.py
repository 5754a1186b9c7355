"""Sessions: a browser that a person signed in with, known by the hash of its cookie."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from clawbench.model.secret import hashed, new_secret
from clawbench.store.db import Db
from clawbench.store.users import User

SESSION_LIFETIME = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A signed-in browser."""

    id: UUID
    user: User
    authenticated_at: datetime
    is_fresh: bool
    """The password was given within the last 15 minutes: enough for admin acts."""


async def start_session(db: Db, user_id: UUID, *, authenticated_at: datetime | None = None) -> str:
    """Sign a browser in; returns what its cookie holds. The person proved who they are now, or when an issuer says."""
    secret = new_secret()
    await db.execute(
        """
        insert into clawbench.sessions (session_sha256, user_id, expires_at, authenticated_at)
        values ($1, $2, now() + $3, least(now(), $4))
        """,
        hashed(secret),
        user_id,
        SESSION_LIFETIME,
        authenticated_at,
    )
    return secret


async def session_with(db: Db, secret: str) -> Session | None:
    """The live session behind a cookie."""
    row = await db.fetchrow(
        """
        select s.id, s.authenticated_at, s.authenticated_at > now() - interval '15 minutes' as is_fresh,
            u.id as user_id, u.name, u.is_admin
        from clawbench.sessions s
        join clawbench.users u on u.id = s.user_id
        where s.session_sha256 = $1 and s.expires_at > now()
        """,
        hashed(secret),
    )
    if row is None:
        return None
    return Session(
        id=row["id"],
        user=User(id=row["user_id"], name=row["name"], is_admin=row["is_admin"]),
        authenticated_at=row["authenticated_at"],
        is_fresh=row["is_fresh"],
    )


async def end_session(db: Db, secret: str) -> None:
    """Sign this browser out."""
    await db.execute(
        """
        delete from clawbench.sessions
        where session_sha256 = $1
        """,
        hashed(secret),
    )


async def end_sessions_of(db: Db, user_id: UUID) -> int:
    """Sign the user out everywhere; in how many browsers that was."""
    return await db.fetchval(
        """
        with ended as (
            delete from clawbench.sessions
            where user_id = $1
            returning id
        )
        select count(*)
        from ended
        """,
        user_id,
    )


async def sweep_sessions(db: Db) -> None:
    """Forget sessions that are over."""
    await db.execute(
        """
        delete from clawbench.sessions
        where expires_at < now()
        """
    )
