"""``python -m tests.faults.server``: makes servers and workers that can be told where to die.

It imports the real program once, and for every line on its stdin (an order as JSON) forks a process that is
``clawbench`` with the order's arguments, fault points wrapped around its functions and leases as long as ordered, and
writes the process's id. So a new server is there in a fraction of a second. All of them die with this process.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from clawbench import cli
from clawbench.cli import worker
from clawbench.flows import drive, perform, work
from clawbench.store import calls, runs
from tests.faults.points import TARGETS, Switch, found, install

PR_SET_PDEATHSIG = 1


def shorten(lease_s: float) -> None:
    """Leases, heartbeats and sweeps in the proportions of the shipped ones."""
    calls.LEASE_S = lease_s
    runs.FINALIZE_LEASE_S = 2 * lease_s
    keep: Any = runs.keep_finalizing
    keep.__defaults__ = (2 * lease_s,)
    perform.HEARTBEAT_S = drive.HEARTBEAT_S = lease_s / 4
    work.SWEEP_EVERY_S = worker.SWEEP_EVERY_S = lease_s


def serve(order: dict[str, Any]) -> None:
    """Be ``clawbench`` until somebody ends it, or until an armed point is reached."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.update(order["environment"])
    if order["lease_s"] is not None:
        shorten(order["lease_s"])
    install(Switch(Path(order["arming"])))
    sys.argv = ["clawbench", *order["arguments"]]
    cli.main()


def main() -> None:
    """Fork one process for every order."""
    for point in TARGETS.values():
        found(point.target)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                serve(json.loads(line))
            finally:
                os._exit(1)
        print(pid, flush=True)  # noqa: T201 (the answer to the order)


if __name__ == "__main__":
    main()
