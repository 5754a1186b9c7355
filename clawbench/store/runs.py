"""``clawbench.runs``: what is remembered of a run, and how its status moves."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from clawbench.model.benchmark import Benchmark
from clawbench.model.canonical import canonical
from clawbench.model.event import EventKind
from clawbench.model.run import Budgets, Mode, Run, RunStatus
from clawbench.model.work import Lease, Places
from clawbench.store import events
from clawbench.store.db import Connection, Db, Row
from sandbox_providers.contract import Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStanding:
    """What decides whether an agent may be shown."""

    is_active: bool
    is_archived: bool


FINALIZE_LEASE_S = 30.0
DRAIN_S = 60
"""How long a finalizing run waits for its accepted calls before they are cancelled."""

_SELECT = """
select r.id, r.user_id, r.agent_id, a.name as agent_name, r.benchmark, r.task, t.task_id, r.form, r.mode, r.metadata,
       r.status, r.why, r.provider, r.site, r.sandbox, r.call_limit, r.calls_used, r.output_limit, r.output_used,
       r.wall_limit_s, r.last_seq, r.head_sha256, r.signature, r.deadline, clock_timestamp() as now,
       r.created_at, r.started_at, r.finished_at
from clawbench.runs r
join clawbench.agents a on a.id = r.agent_id
left join clawbench.tasks t on t.id = r.task
"""


def _run(row: Row) -> Run:
    fields = dict(row)
    fields["benchmark"] = Benchmark(row["benchmark"])
    fields["mode"] = Mode(row["mode"])
    fields["status"] = RunStatus(row["status"])
    fields["metadata"] = json.loads(row["metadata"])
    fields["sandbox"] = Sandbox(**json.loads(row["sandbox"])) if row["sandbox"] else None
    return Run(**fields)


async def by_id(db: Db, run_id: UUID) -> Run | None:
    row = await db.fetchrow(_SELECT + "where r.id = $1", run_id)
    return _run(row) if row else None


async def owned(db: Db, run_id: UUID, user_id: UUID) -> Run | None:
    """The run, if it is this user's; somebody else's is as good as missing."""
    row = await db.fetchrow(_SELECT + "where r.id = $1 and r.user_id = $2", run_id, user_id)
    return _run(row) if row else None


async def of_user(db: Db, user_id: UUID, *, limit: int) -> list[Run]:
    rows = await db.fetch(_SELECT + "where r.user_id = $1 order by r.created_at desc limit $2", user_id, limit)
    return [_run(row) for row in rows]


async def newest(db: Db, *, limit: int) -> list[Run]:
    rows = await db.fetch(_SELECT + "order by r.created_at desc limit $1", limit)
    return [_run(row) for row in rows]


async def hold(db: Db, run_id: UUID) -> None:
    """Lock the run's row until the transaction ends."""
    await db.fetchval("select id from clawbench.runs where id = $1 for no key update", run_id)


async def agent_standing(db: Db, agent_id: UUID) -> AgentStanding:
    """Whether the agent may have public runs now."""
    row = await db.fetchrow(
        "select is_active, archived_at is not null as is_archived from clawbench.agents where id = $1", agent_id
    )
    assert row is not None
    return AgentStanding(**row)


async def budgets_of(db: Db, run_id: UUID) -> Budgets:
    """What is left of a run, at the price of one small read."""
    row = await db.fetchrow(
        """
        select call_limit - calls_used as calls_left, output_limit - output_used as output_bytes_left,
               extract(epoch from deadline - clock_timestamp())::integer as seconds_left,
               finished_at is not null as is_over
        from clawbench.runs where id = $1
        """,
        run_id,
    )
    assert row is not None, "runs are never deleted"
    if row["is_over"]:
        return Budgets(calls_left=0, seconds_left=0, output_bytes_left=0)
    return Budgets(
        calls_left=max(0, row["calls_left"]),
        seconds_left=max(0, row["seconds_left"]),
        output_bytes_left=max(0, row["output_bytes_left"]),
    )


async def by_start_call(db: Db, agent_id: UUID, start_call_id: str) -> UUID | None:
    """The run that an earlier delivery of the same ``start_run`` call made."""
    return await db.fetchval(
        "select id from clawbench.runs where agent_id = $1 and start_call_id = $2", agent_id, start_call_id
    )


async def hold_user(db: Db, user_id: UUID) -> None:
    """Let one start of this user at a time count its runs."""
    await db.fetchval("select id from clawbench.users where id = $1 for no key update", user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much an agent and its owner have under way."""

    unfinished: int
    today: int
    unfinished_of_user: int


async def load_of(db: Db, agent_id: UUID, user_id: UUID) -> Load:
    """The agent's unfinished runs, those it began in the last 24 hours, and its owner's unfinished ones."""
    row = await db.fetchrow(
        """
        select count(*) filter (where agent_id = $1 and finished_at is null) as unfinished,
               count(*) filter (where agent_id = $1 and created_at > now() - interval '24 hours') as today,
               count(*) filter (where finished_at is null) as unfinished_of_user
        from clawbench.runs
        where user_id = $2 and (finished_at is null or created_at > now() - interval '24 hours')
        """,
        agent_id,
        user_id,
    )
    assert row is not None
    return Load(**row)


async def insert(
    db: Db,
    *,
    user_id: UUID,
    agent_id: UUID,
    benchmark: Benchmark,
    task: int,
    form: str | None,
    mode: Mode,
    start_call_id: str,
    metadata: Mapping[str, Any],
    priority: int,
    provider: str,
    call_limit: int,
    output_limit: int,
    wall_limit_s: int,
    queue_limit_s: int,
) -> UUID:
    """A queued run, which must have its sandbox within ``queue_limit_s``."""
    return await db.fetchval(
        """
        insert into clawbench.runs (user_id, agent_id, benchmark, task, form, mode, start_call_id, metadata, priority,
                                    provider, call_limit, output_limit, wall_limit_s, deadline)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, now() + make_interval(secs => $14))
        returning id
        """,
        user_id,
        agent_id,
        benchmark,
        task,
        form,
        mode,
        start_call_id,
        canonical(metadata),
        priority,
        provider,
        call_limit,
        output_limit,
        wall_limit_s,
        queue_limit_s,
    )


async def started(conn: Connection, lease: Lease, sandbox: Sandbox, site: str) -> bool:
    """``queued → running`` under the lease on the starting call: the sandbox is there and the clock starts."""
    async with conn.transaction():
        moved = await conn.fetchval(
            """
            update clawbench.runs
            set status = 'running', sandbox = $2, site = $3, started_at = clock_timestamp(),
                deadline = clock_timestamp() + make_interval(secs => wall_limit_s)
            where id = $1 and status = 'queued' and exists (
              select from clawbench.calls
              where run_id = $1 and client_call_id = $4 and lease_epoch = $5 and answered_at is null)
            returning id
            """,
            lease.run_id,
            canonical(asdict(sandbox)),
            site,
            lease.call_id,
            lease.epoch,
        )
        if moved:
            told = {"provider": sandbox.provider, "sandbox": sandbox.observed}
            await events.append(conn, lease.run_id, EventKind.RUN_STARTED, told)
        return moved is not None


async def begin_finalizing(conn: Connection, run_id: UUID, *, by: str, within_s: int) -> bool:
    """``running → finalizing``: the cut after which no call is accepted."""
    async with conn.transaction():
        moved = await conn.fetchval(
            """
            update clawbench.runs
            set status = 'finalizing', deadline = clock_timestamp() + make_interval(secs => $2),
                drained_by = clock_timestamp() + make_interval(secs => $3)
            where id = $1 and status = 'running' returning id
            """,
            run_id,
            within_s,
            DRAIN_S,
        )
        if moved:
            await events.append(conn, run_id, EventKind.FINALIZING, {"by": by})
        return moved is not None


async def end_unscored(conn: Connection, run_id: UUID, status: RunStatus, why: str) -> bool:
    """Any unfinished state → ``cancelled``, ``expired`` or ``voided``; unanswered calls stay to be answered."""
    async with conn.transaction():
        held = await conn.fetchval(
            "select id from clawbench.runs where id = $1 and finished_at is null for no key update", run_id
        )
        if held:
            await events.append(conn, run_id, EventKind.RUN_FINISHED, {"status": status, "why": why})
            await conn.execute(
                "update clawbench.runs set status = $2, why = $3, finished_at = clock_timestamp() where id = $1",
                run_id,
                status,
                why,
            )
        return held is not None


async def overdue(db: Db, *, limit: int) -> list[Run]:
    """Unfinished runs past the deadline of their state."""
    rows = await db.fetch(
        _SELECT + "where r.finished_at is null and r.deadline < clock_timestamp() order by r.deadline limit $1", limit
    )
    return [_run(row) for row in rows]


async def unfinished(db: Db, run_ids: Collection[UUID]) -> frozenset[UUID]:
    """Which of these runs may still have a sandbox."""
    rows = await db.fetch(
        "select id from clawbench.runs where id = any($1::text[]::uuid[]) and finished_at is null",
        [str(run_id) for run_id in run_ids],
    )
    return frozenset(row["id"] for row in rows)


async def take_finalizing(db: Db, places: Places) -> Lease | None:
    """Claim one run that waits to be scored, that nobody works on, and whose calls have come to their answers."""
    row = await db.fetchrow(
        """
        update clawbench.runs r
        set lease_epoch = r.lease_epoch + 1, lease_until = clock_timestamp() + make_interval(secs => $2)
        where r.id = (
          select f.id from clawbench.runs f
          where f.status = 'finalizing' and (f.lease_until is null or f.lease_until < clock_timestamp())
            and f.site = any($1::text[])
            and not exists (
              select from clawbench.calls c
              where c.run_id = f.id and c.answered_at is null and c.tool not in ('finalize_run', 'cancel_run'))
          order by f.deadline limit 1 for no key update skip locked
        )
        returning r.id as run_id, r.lease_epoch as epoch
        """,
        places.sites,
        FINALIZE_LEASE_S,
    )
    return Lease(run_id=row["run_id"], call_id=None, epoch=row["epoch"]) if row else None


async def keep_finalizing(db: Db, lease: Lease, for_s: float = FINALIZE_LEASE_S) -> bool:
    """Go on holding the lease for so long from now; False when another worker has it."""
    held = await db.fetchval(
        """
        update clawbench.runs set lease_until = clock_timestamp() + make_interval(secs => $3)
        where id = $1 and lease_epoch = $2 and status = 'finalizing' returning 1
        """,
        lease.run_id,
        lease.epoch,
        for_s,
    )
    return held is not None


async def done(conn: Connection, lease: Lease) -> bool:
    """``finalizing → done`` under the lease, after the run's last event; call inside a transaction."""
    moved = await conn.fetchval(
        """
        update clawbench.runs set status = 'done', finished_at = clock_timestamp(), lease_until = null
        where id = $1 and lease_epoch = $2 and status = 'finalizing' returning 1
        """,
        lease.run_id,
        lease.epoch,
    )
    return moved is not None


async def sign(db: Db, run_id: UUID, signature: str) -> None:
    """Keep the signature over the run's head."""
    await db.execute("update clawbench.runs set signature = $2 where id = $1", run_id, signature)
