"""``scripts/bench``: the measures that are named, or all, as a table or as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.measures import MEASURES, NEED_NO_TASK, Line
from benchmarks.world import opened


async def measured(names: Sequence[str], repetitions: int) -> list[Line]:
    """The lines of these measures, one measure after the other."""
    me = asyncio.current_task()
    assert me is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)  # so that nothing is left behind
    lines = list[Line]()
    async with opened(with_task=not NEED_NO_TASK.issuperset(names)) as world:
        for name in names:
            print(f"bench: {name}", file=sys.stderr)
            lines += await MEASURES[name](world, repetitions)
    return lines


def show(lines: Sequence[Line]) -> None:
    table = Table("work", "figure", "ratio", "goal", "", box=None, header_style="bold", pad_edge=False)
    for line in lines:
        ratio = "" if line.ratio is None else f"{line.ratio:.2f} ×"
        table.add_row(line.work, line.figure, ratio, line.goal, "met" if line.met else "not met")
    Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(MEASURES)}; default: all")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if unknown := set(given.names) - set(MEASURES):
        parser.error(f"there is no measure {', '.join(sorted(unknown))}")
    lines = uvloop.run(measured(given.names or list(MEASURES), given.repetitions))
    if given.json:
        print(json.dumps([asdict(line) for line in lines], indent=2, ensure_ascii=False))
    else:
        show(lines)


if __name__ == "__main__":
    main()
