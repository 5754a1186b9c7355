"""Rows without a sandbox behind them, for tests of the store alone."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from clawbench.model.benchmark import Benchmark
from clawbench.model.event import EventKind
from clawbench.model.run import Mode
from clawbench.store import events, runs
from clawbench.store.db import Pool
from tests.sign_in_app import Person, somebody
from tests.support.client import fresh_id

_TASK = """
insert into clawbench.tasks (benchmark, task_id, digest, title, definition, bundle_sha256, image_digest, workdir,
                             state, is_current)
values ('terminal-bench', $1, repeat('d', 64), 'A task', '{}', repeat('b', 64), 'sha256:0', '/app', 'ready', true)
returning id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A run and whose it is."""

    run_id: UUID
    person: Person
    task: int

    @property
    def user_id(self) -> UUID:
        return self.person.user.id


async def a_task(pool: Pool) -> int:
    return await pool.fetchval(_TASK, f"task-{fresh_id()}")


async def a_run(
    pool: Pool,
    *,
    running: bool = True,
    call_limit: int = 1000,
    priority: int = 0,
    owner: Person | None = None,
    task: int | None = None,
) -> Row:
    """A run with its first event, running unless told otherwise."""
    person, task = owner or await somebody(pool), task or await a_task(pool)
    run_id = await runs.insert(
        pool,
        user_id=person.user.id,
        agent_id=person.agent.id,
        benchmark=Benchmark.TERMINAL_BENCH,
        task=task,
        form=None,
        mode=Mode.AGENT,
        start_call_id=fresh_id(),
        metadata={},
        priority=priority,
        provider="docker",
        call_limit=call_limit,
        output_limit=10_000,
        wall_limit_s=600,
        queue_limit_s=300,
    )
    await events.append(pool, run_id, EventKind.RUN_CREATED, {"benchmark": "terminal-bench"})
    if running:
        await pool.execute(
            "update clawbench.runs set status = 'running', started_at = clock_timestamp() where id = $1", run_id
        )
    return Row(run_id=run_id, person=person, task=task)
