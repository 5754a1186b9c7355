"""The benchmark as it is started; what it measures is nothing for a test to judge."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

BENCH = Path(__file__).parent.parent / "scripts" / "bench"


async def test_the_cheapest_measure_runs_and_prints_its_line() -> None:
    bench = await asyncio.create_subprocess_exec(
        *(BENCH, "whoami", "--repetitions", "1", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await bench.communicate()
    finally:
        if bench.returncode is None:
            bench.terminate()
            await bench.wait()
    assert bench.returncode == 0, err.decode()
    (line,) = json.loads(out)
    assert line["work"] == "whoami, CPU per call"
    assert line["ratio"] > 0
