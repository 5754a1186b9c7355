"""``clawbench.scores``, ``gate_results`` and ``approvals``: what a run earned and who vouched for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from clawbench.model.canonical import canonical
from clawbench.model.gate import GATES, Passed, RefusedBecause, Verdict
from clawbench.store.db import Db


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The official score of a run, 0..1."""

    value: float
    passed: bool
    scorer: str
    details: Mapping[str, Any]


async def insert(db: Db, run_id: UUID, score: Score) -> None:
    await db.execute(
        "insert into clawbench.scores (run_id, value, passed, scorer, details) values ($1, $2, $3, $4, $5)",
        run_id,
        score.value,
        score.passed,
        score.scorer,
        canonical(score.details),
    )


async def of_run(db: Db, run_id: UUID) -> Score | None:
    row = await db.fetchrow("select value, passed, scorer, details from clawbench.scores where run_id = $1", run_id)
    return Score(**{**row, "details": json.loads(row["details"])}) if row else None


async def keep_verdicts(db: Db, run_id: UUID, head: str, verdicts: Mapping[str, Verdict]) -> None:
    """Remember what every gate said of this evidence head, in place of what it said before."""
    await db.execute(
        """
        insert into clawbench.gate_results (run_id, gate, passed, reason, evidence_head)
        select $1, g.gate, g.passed, g.reason, $2
        from unnest($3::text[], $4::text[]::boolean[], $5::text[]) as g (gate, passed, reason)
        on conflict (run_id, gate) do update
          set passed = excluded.passed, reason = excluded.reason, evidence_head = excluded.evidence_head,
              asked_at = now()
        """,
        run_id,
        head,
        list(verdicts),
        [str(isinstance(verdict, Passed)) for verdict in verdicts.values()],
        [verdict.reason if isinstance(verdict, RefusedBecause) else "" for verdict in verdicts.values()],
    )


async def verdicts_of(db: Db, run_id: UUID) -> dict[str, Verdict]:
    """What every gate last said, in the order of the list; empty before finalize."""
    rows = await db.fetch("select gate, passed, reason from clawbench.gate_results where run_id = $1", run_id)
    said = {row["gate"]: Passed() if row["passed"] else RefusedBecause(row["reason"]) for row in rows}
    return {name: said[name] for name in GATES if name in said}


async def approve(db: Db, run_id: UUID, head: str, *, by: str, reason: str) -> None:
    """An admin vouches for exactly this head; an older standing approval is replaced."""
    await withdraw(db, run_id, by=by, reason="replaced by a newer approval")
    await db.execute(
        "insert into clawbench.approvals (run_id, evidence_head, approved_by, reason) values ($1, $2, $3, $4)",
        run_id,
        head,
        by,
        reason,
    )


async def withdraw(db: Db, run_id: UUID, *, by: str, reason: str) -> bool:
    """Take the standing approval back; False when there is none."""
    taken = await db.fetchval(
        """
        update clawbench.approvals set withdrawn_by = $2, withdrawn_reason = $3, withdrawn_at = clock_timestamp()
        where run_id = $1 and withdrawn_at is null returning id
        """,
        run_id,
        by,
        reason,
    )
    return taken is not None


async def approved_head(db: Db, run_id: UUID) -> str | None:
    """The head that the standing approval names."""
    return await db.fetchval(
        "select evidence_head from clawbench.approvals where run_id = $1 and withdrawn_at is null", run_id
    )


async def waiting(db: Db, *, limit: int) -> list[dict[str, Any]]:
    """Scored runs that nobody approved yet, oldest first, with the gates that refuse them."""
    rows = await db.fetch(
        """
        select r.id as run_id, a.name as agent_name, r.benchmark, t.task_id, s.value as score, s.passed,
               r.finished_at, array(
                 select g.gate from clawbench.gate_results g
                 where g.run_id = r.id and not g.passed and g.gate <> 'admin_approved' order by g.gate
               ) as refused_by
        from clawbench.runs r
        join clawbench.scores s on s.run_id = r.id
        join clawbench.agents a on a.id = r.agent_id
        left join clawbench.tasks t on t.id = r.task
        where r.status = 'done'
          and not exists (select from clawbench.approvals p where p.run_id = r.id and p.withdrawn_at is null)
        order by r.finished_at limit $1
        """,
        limit,
    )
    return [dict(row) for row in rows]


async def approved(db: Db, *, limit: int) -> list[dict[str, Any]]:
    """Runs with a standing approval, the latest first."""
    rows = await db.fetch(
        """
        select r.id as run_id, a.name as agent_name, r.benchmark, t.task_id, s.value as score, p.approved_at, p.reason
        from clawbench.approvals p
        join clawbench.runs r on r.id = p.run_id
        join clawbench.scores s on s.run_id = r.id
        join clawbench.agents a on a.id = r.agent_id
        left join clawbench.tasks t on t.id = r.task
        where p.withdrawn_at is null
        order by p.approved_at desc limit $1
        """,
        limit,
    )
    return [dict(row) for row in rows]
