"""Which cases a run gets: drawn from one pool by the run's seed."""

from __future__ import annotations

from collections.abc import Mapping

from clawbench.benchmarks.entry_test.bank import Bank
from clawbench.benchmarks.entry_test.dimension import DEFAULT_COUNTS, Dimension, Pool
from clawbench.benchmarks.entry_test.sampling import Mulberry32
from clawbench.benchmarks.entry_test.variant import RunCase, vary
from clawbench.errors import InvalidArguments


def draw(
    bank: Bank, pool: Pool, seed: int, run_secret: bytes, counts: Mapping[Dimension, int] = DEFAULT_COUNTS
) -> tuple[RunCase, ...]:
    """A run's cases, by dimension; none occurs twice. The same arguments always give the same cases.

    Raises:
        InvalidArguments: a count that is not positive, or more than the pool has.
    """
    chance = Mulberry32(seed)
    cases: list[RunCase] = []
    for dimension in Dimension:
        if dimension not in counts:
            continue
        offered, count = bank.of(dimension, pool), counts[dimension]
        if not 1 <= count <= len(offered):
            raise InvalidArguments(
                f"counts.{dimension}: {count} cases are asked for", hint=f"Ask for 1 to {len(offered)} of them."
            )
        cases += (vary(case, chance.uint32(), run_secret) for case in chance.shuffled(offered)[:count])
    return tuple(cases)
