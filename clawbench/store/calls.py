"""``clawbench.calls``: the ledger that makes a call happen once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from clawbench.model.call import Answer, Claim, Conflict, Fresh, Replay, Running, Turned
from clawbench.model.canonical import canonical, fingerprint
from clawbench.model.event import EventKind
from clawbench.model.run import RunStatus
from clawbench.model.work import Beat, CallJob, Lease, Places
from clawbench.store.db import Db, Row
from sandbox_providers.contract import Sandbox

LEASE_S = 10.0
"""How long a driver may be silent before another process takes its call."""

# One statement: find the caller's run and lock it, claim the id, and, for a first delivery, number it,
# count it and add its event. A run that takes no calls still answers the ids it knows.
_CLAIM = """
with run as materialized (
  select id, status, last_seq, head_sha256, calls_used, call_limit, calls_in_flight, output_used, output_limit,
         deadline, clock_timestamp() as at, provider, sandbox,
         $13 or site = any($14::text[]) or (site is null and provider = any($15::text[])) as here
  from clawbench.runs where id = $1 and user_id = $2 for no key update
), turned as (
  select case
    when status <> all($7::text[]) or deadline <= at then 'run_not_active'
    when $8 then null
    when calls_used >= call_limit then 'calls'
    when output_used >= output_limit then 'output_bytes'
    when calls_in_flight >= $9 then 'in_flight'
  end as why from run
), claimed as (
  insert into clawbench.calls as c
    (run_id, client_call_id, seq, tool, fingerprint, arguments, accepted_at, lease_until)
  select run.id, $3, run.last_seq + 1, $4, $5, $6::json, run.at,
         case when run.here then run.at + make_interval(secs => $10) else run.at end
  from run, turned
  where turned.why is null
     or exists (select from clawbench.calls k where k.run_id = $1 and k.client_call_id = $3)
  on conflict (run_id, client_call_id) do update
    set deliveries = c.deliveries + 1, conflicts = c.conflicts + (c.fingerprint <> excluded.fingerprint)::int
  returning c.seq, c.fingerprint, c.deliveries, c.lease_epoch, c.answer, c.is_error
), event as (
  insert into clawbench.events
  select next.* from run, claimed,
         clawbench.chained(run.id, claimed.seq, run.at, $11::text, $12::text, run.head_sha256) next
  where claimed.deliveries = 1
  returning seq, sha256
), counted as (
  update clawbench.runs r set last_seq = event.seq, head_sha256 = event.sha256, calls_used = r.calls_used + 1,
         calls_in_flight = r.calls_in_flight + 1
  from event where r.id = $1
)
select run.status, run.here, run.provider, run.sandbox, extract(epoch from run.deadline - run.at) as seconds_left,
       turned.why, claimed.*
from run cross join turned left join claimed on true
"""

_KNOWN = """
select c.seq, c.fingerprint, 2 as deliveries, c.lease_epoch, c.answer, c.is_error
from clawbench.calls c join clawbench.runs r on r.id = c.run_id
where c.run_id = $1 and c.client_call_id = $2 and r.user_id = $3
"""


async def claim(
    db: Db,
    *,
    run_id: UUID,
    user_id: UUID,
    client_call_id: str,
    tool: str,
    arguments: Mapping[str, Any],
    accepting: frozenset[RunStatus],
    in_flight_limit: int,
    exempt_from_caps: bool,
    places: Places | None,
) -> Claim:
    """Claim ``(run_id, client_call_id)``; one delivery gets ``Fresh``, and its call is done once.

    ``places`` are where this process can act; None: the call needs no sandbox, and any process can do it.
    """
    print_ = fingerprint(tool, arguments)
    accepted = {"arguments": arguments, "client_call_id": client_call_id, "tool": tool}
    row = await db.fetchrow(
        _CLAIM,
        run_id,
        user_id,
        client_call_id,
        tool,
        print_,
        canonical(arguments),
        list(accepting),
        exempt_from_caps,
        in_flight_limit,
        LEASE_S,
        EventKind.CALL_ACCEPTED,
        canonical(accepted),
        places is None,
        places.sites if places else [],
        places.providers if places else [],
    )
    if row is None:
        return Turned("not_found", None)
    if row["seq"] is not None and row["deliveries"] == 1:
        about = {**row, "run_id": run_id, "client_call_id": client_call_id, "tool": tool}
        return Fresh(_job({**about, "arguments": canonical(arguments)}), here=row["here"])
    if row["seq"] is None:
        # The statement's snapshot may be older than the lock it waited for: look once more before saying no.
        known = await db.fetchrow(_KNOWN, run_id, client_call_id, user_id)
        return _delivery(known, print_) if known else Turned(row["why"], row["status"])
    return _delivery(row, print_)


def _job(row: Row | Mapping[str, Any]) -> CallJob:
    return CallJob(
        lease=Lease(run_id=row["run_id"], call_id=row["client_call_id"], epoch=row["lease_epoch"]),
        call_id=row["client_call_id"],
        tool=row["tool"],
        arguments=json.loads(row["arguments"]),
        provider=row["provider"],
        sandbox=Sandbox(**json.loads(row["sandbox"])) if row["sandbox"] else None,
        spec=None,
        seconds_left=float(row["seconds_left"]),
    )


def _delivery(row: Row, print_: str) -> Claim:
    if row["fingerprint"] != print_:
        return Conflict()
    if row["answer"] is None:
        return Running()
    return Replay(Answer(row["answer"], row["is_error"]))


_RECORD = """
with run as materialized (
  select id, last_seq, head_sha256, finished_at, clock_timestamp() as at
  from clawbench.runs where id = $1 for no key update
), answered as (
  update clawbench.calls set answer = $4::json, is_error = $5, outcome = $6, answered_at = run.at, lease_until = null
  from run
  where run_id = $1 and client_call_id = $2 and lease_epoch = $3 and answered_at is null
  returning run_id
), event as (
  insert into clawbench.events
  select next.* from run, answered,
         clawbench.chained(run.id, run.last_seq + 1, run.at, $7::text, $8::text, run.head_sha256) next
  where run.finished_at is null
  returning seq, sha256
), counted as (
  update clawbench.runs r
  set calls_in_flight = r.calls_in_flight - 1, last_seq = coalesce(event.seq, r.last_seq),
      head_sha256 = coalesce(event.sha256, r.head_sha256),
      output_used = case when event.seq is null then r.output_used else least(r.output_limit, r.output_used + $9) end
  from answered left join event on true where r.id = $1
)
select 1 from answered
"""


async def record(
    db: Db, lease: Lease, answer: Answer, *, outcome: Literal["answered", "unknown"], output_bytes: int
) -> bool:
    """Keep the one answer, under the lease that produced it; False when the lease was lost.

    An answer that comes after the run's last event (``finalize_run``, ``cancel_run``) repeats that event
    and adds none.
    """
    told = {
        "answer": json.loads(answer.body),
        "client_call_id": lease.call_id,
        "is_error": answer.is_error,
        "outcome": outcome,
    }
    recorded = await db.fetchval(
        _RECORD,
        lease.run_id,
        lease.call_id,
        lease.epoch,
        answer.body,
        answer.is_error,
        outcome,
        EventKind.CALL_ANSWERED,
        canonical(told),
        output_bytes,
    )
    return recorded is not None


async def answer_of(db: Db, run_id: UUID, client_call_id: str) -> Answer | None:
    """The recorded answer, if there is one yet."""
    row = await db.fetchrow(
        "select answer, is_error from clawbench.calls where run_id = $1 and client_call_id = $2 and answer is not null",
        run_id,
        client_call_id,
    )
    return Answer(row["answer"], row["is_error"]) if row else None


async def beat(db: Db, lease: Lease) -> Beat:
    """Go on holding the lease; ``cancel`` once the run has been finalizing for longer than it waits for calls."""
    row = await db.fetchrow(
        """
        update clawbench.calls c set lease_until = clock_timestamp() + make_interval(secs => $4)
        from clawbench.runs r
        where c.run_id = $1 and c.client_call_id = $2 and c.lease_epoch = $3 and c.answered_at is null
          and r.id = c.run_id
        returning r.status not in ('queued', 'running') and r.drained_by < clock_timestamp() as cancel
        """,
        lease.run_id,
        lease.call_id,
        lease.epoch,
        LEASE_S,
    )
    return Beat(held=row is not None, cancel=bool(row and row["cancel"]))


async def release(db: Db, lease: Lease) -> None:
    """Give the lease back, so that another process goes on at once."""
    await db.execute(
        """
        update clawbench.calls set lease_until = clock_timestamp()
        where run_id = $1 and client_call_id = $2 and lease_epoch = $3 and answered_at is null
        """,
        lease.run_id,
        lease.call_id,
        lease.epoch,
    )


# An owner's turn is how much of theirs is being worked on already, and then, among their own, the run's priority and
# how long each call has waited: one owner's hundred calls do not stand before another's first.
_TAKE = """
with waiting as (
  select k.run_id, k.client_call_id, k.accepted_at, r.provider, r.sandbox, r.deadline,
         row_number() over (partition by r.user_id order by r.priority desc, k.accepted_at) + (
           select count(*) from clawbench.calls b join clawbench.runs o on o.id = b.run_id
           where o.user_id = r.user_id and b.answered_at is null and b.lease_until > clock_timestamp()
         ) as turn
  from clawbench.calls k join clawbench.runs r on r.id = k.run_id
  where k.answered_at is null and k.lease_until <= clock_timestamp()
    and (k.tool = any($4::text[])
         or k.tool = any($3::text[])
            and (r.site = any($1::text[]) or (r.site is null and r.provider = any($2::text[]))))
), chosen as (
  select c.run_id, c.client_call_id, w.provider, w.sandbox, w.deadline
  from clawbench.calls c join waiting w using (run_id, client_call_id)
  where c.answered_at is null and c.lease_until <= clock_timestamp()
  order by w.turn, w.accepted_at limit $5 for no key update of c skip locked
)
update clawbench.calls c
set lease_epoch = c.lease_epoch + 1, lease_until = clock_timestamp() + make_interval(secs => $6)
from chosen
where c.run_id = chosen.run_id and c.client_call_id = chosen.client_call_id
returning c.run_id, c.client_call_id, c.tool, c.arguments, c.lease_epoch, chosen.provider, chosen.sandbox,
          extract(epoch from chosen.deadline - clock_timestamp()) as seconds_left
"""


async def take(db: Db, places: Places, tools: Sequence[str], anywhere: Sequence[str], *, limit: int) -> list[CallJob]:
    """Take calls that nobody works on, fairly among owners: never begun, or left by a worker that fell silent.

    The new epoch fences the old worker off: its late answer matches no row. ``tools`` need one of the
    ``places``; ``anywhere`` names the tools that need none.
    """
    rows = await db.fetch(_TAKE, places.sites, places.providers, tools, anywhere, limit, LEASE_S)
    return [_job(row) for row in rows]


async def listing(db: Db, run_id: UUID) -> list[dict[str, Any]]:
    """Every call of the run, in order: id, tool, and whether it is answered."""
    rows = await db.fetch(
        """
        select client_call_id, tool, seq, is_error, outcome, deliveries, answered_at is not null as answered
        from clawbench.calls where run_id = $1 order by seq
        """,
        run_id,
    )
    return [dict(row) for row in rows]
