"""Users: people who sign in, and the one-time links with which they first choose a password."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from clawbench.errors import InvalidArguments, Refused
from clawbench.model.secret import hashed, new_secret
from clawbench.store.db import Connection, Db, Pool, Row

OPERATOR = "operator"
"""The user that owns what the command line makes; nobody else is ever given this name."""

FIRST_ADMIN = "admin"
"""The account that a new installation begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person with an account."""

    id: UUID
    name: str
    is_admin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user and what is stored of the password; None before setup."""

    user: User
    password_hash: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """A user and the token of ``/setup?token=…``, known only now."""

    user: User
    setup_token: str = field(repr=False)


async def create_user(pool: Pool, name: str, *, admin: bool = False) -> NewUser:
    """A new user and a setup link that works once, for 24 hours.

    Raises:
        InvalidArguments: the name is empty, too long or not printable.
        Refused: the name is taken, in any case.
    """
    if not (0 < len(name) <= 80 and name.isprintable() and name == name.strip()):
        raise InvalidArguments("a user name has 1 to 80 printable characters and no space around it")
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(
            """
            insert into clawbench.users (name, is_admin)
            values ($1, $2)
            on conflict (lower(name)) do nothing
            returning id, name, is_admin
            """,
            name,
            admin,
        )
        if row is None:
            raise Refused(f"the user name {name} is taken", hint="Choose another name.")
        user = user_row(row)
        return NewUser(user=user, setup_token=await new_setup_link(connection, user.id))


async def create_first_admin(pool: Pool) -> NewUser | None:
    """An admin for an installation without any user; None if it has one. Of two servers at once, one makes it."""
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(
            """
            insert into clawbench.users (name, is_admin)
            select $1, true
            where not exists (select from clawbench.users)
            on conflict (lower(name)) do nothing
            returning id, name, is_admin
            """,
            FIRST_ADMIN,
        )
        if row is None:
            return None
        user = user_row(row)
        return NewUser(user=user, setup_token=await new_setup_link(connection, user.id))


async def user_named(db: Db, name: str) -> User | None:
    """The user with this name, in any case."""
    row = await db.fetchrow(
        """
        select id, name, is_admin
        from clawbench.users
        where lower(name) = lower($1)
        """,
        name,
    )
    return None if row is None else user_row(row)


async def user_with_id(db: Db, user_id: UUID) -> User | None:
    """The user with this id."""
    row = await db.fetchrow(
        """
        select id, name, is_admin
        from clawbench.users
        where id = $1
        """,
        user_id,
    )
    return None if row is None else user_row(row)


async def users(db: Db) -> list[User]:
    """Everybody, by name."""
    rows = await db.fetch(
        """
        select id, name, is_admin
        from clawbench.users
        order by lower(name)
        """
    )
    return [user_row(row) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An account at an issuer: what stays, whatever name somebody chose."""

    issuer: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user as an admin sees them."""

    user: User
    created_at: datetime
    has_password: bool
    identities: tuple[Identity, ...]


async def people(db: Db, *, named: str, limit: int) -> list[Person]:
    """Those whose name holds these letters, admins first."""
    rows = await db.fetch(
        """
        select u.id, u.name, u.is_admin, u.created_at, u.password_hash is not null as has_password,
            array(
                select array[i.issuer, i.subject] from clawbench.identities i where i.user_id = u.id order by 1
            ) as identities
        from clawbench.users u
        where strpos(lower(u.name), lower($1)) > 0
        order by u.is_admin desc, lower(u.name)
        limit $2
        """,
        named,
        limit,
    )
    return [
        Person(
            user=user_row(row),
            created_at=row["created_at"],
            has_password=row["has_password"],
            identities=tuple(Identity(issuer=issuer, subject=subject) for issuer, subject in row["identities"]),
        )
        for row in rows
    ]


async def account_named(db: Db, name: str) -> Account | None:
    """The account that somebody claims at sign-in."""
    row = await db.fetchrow(
        """
        select id, name, is_admin, password_hash
        from clawbench.users
        where lower(name) = lower($1)
        """,
        name,
    )
    return None if row is None else Account(user=user_row(row), password_hash=row["password_hash"])


async def set_admin(db: Db, user_id: UUID, *, admin: bool) -> None:
    """Give or take the admin role; tokens follow at once."""
    await db.execute(
        """
        update clawbench.users
        set is_admin = $2
        where id = $1
        """,
        user_id,
        admin,
    )


async def take_admin(pool: Pool, user_id: UUID) -> None:
    """Take the admin role, at once for sessions and tokens; of two admins who take it from each other, one keeps it.

    Raises:
        Refused: no admin who can sign in would be left.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetch(
            """
            select id
            from clawbench.users
            where is_admin
            order by id
            for no key update
            """
        )
        await set_admin(connection, user_id, admin=False)
        left = await connection.fetchval(
            """
            select exists (
                select
                from clawbench.users u
                where u.is_admin and (
                    u.password_hash is not null
                    or exists (select from clawbench.identities i where i.user_id = u.id)
                )
            )
            """
        )
        if not left:
            raise Refused(
                "no admin who can sign in would be left", hint="Make somebody else an admin first, then try again."
            )


async def set_password(db: Db, user_id: UUID, password_hash: str) -> None:
    """Store the hash of a new password."""
    await db.execute(
        """
        update clawbench.users
        set password_hash = $2
        where id = $1
        """,
        user_id,
        password_hash,
    )


async def new_setup_link(connection: Connection, user_id: UUID) -> str:
    """The token of a fresh setup link; older links of the user stop working."""
    await end_setup_links_of(connection, user_id)
    token = new_secret()
    await connection.execute(
        """
        insert into clawbench.setup_links (link_sha256, user_id)
        values ($1, $2)
        """,
        hashed(token),
        user_id,
    )
    return token


async def end_setup_links_of(db: Db, user_id: UUID) -> int:
    """Make the user's unused links work no more; how many there were."""
    return await db.fetchval(
        """
        with ended as (
            delete from clawbench.setup_links
            where user_id = $1 and used_at is null
            returning id
        )
        select count(*)
        from ended
        """,
        user_id,
    )


async def user_of_setup_link(db: Db, token: str) -> User | None:
    """Whose link this is, while it still works."""
    row = await db.fetchrow(
        """
        select u.id, u.name, u.is_admin
        from clawbench.setup_links l
        join clawbench.users u on u.id = l.user_id
        where l.link_sha256 = $1 and l.used_at is null and l.expires_at > now()
        """,
        hashed(token),
    )
    return None if row is None else user_row(row)


async def use_setup_link(db: Db, token: str) -> User | None:
    """Use the link up; None if it no longer works. Of two at once, one wins."""
    row = await db.fetchrow(
        """
        update clawbench.setup_links l
        set used_at = now()
        from clawbench.users u
        where l.link_sha256 = $1 and l.used_at is null and l.expires_at > now() and u.id = l.user_id
        returning u.id, u.name, u.is_admin
        """,
        hashed(token),
    )
    return None if row is None else user_row(row)


def user_row(row: Row) -> User:
    """The user of a row with id, name and is_admin."""
    return User(id=row["id"], name=row["name"], is_admin=row["is_admin"])
