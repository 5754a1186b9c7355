"""What the README promises: an id, and the sentence as it stands there. Each is shown by at least one test.

A test claims a promise with ``@pytest.mark.promise("id")``; ``test_promises.py`` holds all three together.
"""

from __future__ import annotations

from collections.abc import Mapping

PROMISES: Mapping[str, str] = {
    # The first screen
    "demo": "scripts/demo # sets everything up, then: sign in, solve a task over MCP, score, approve, leaderboard",
    "clients-sign-in": "Clients sign in by themselves, with OAuth in your browser, where you choose the agent name "
    "that the runs are made under.",
    "mcp-config": "`clawbench mcp config` prints these for any server, and for Cursor; `--install` writes them into "
    "the client's own configuration.",
    "real-clients": "Claude Code 2.1, Codex 0.169 and OpenCode 1.18 sign in through the browser and take a run to its "
    "score, also when their token ends on the way (`scripts/canary`).",
    "conformance": "The MCP conformance suite passes for 2025-11-25 (30 of 30) and 2026-07-28 (37 of 37) with its own "
    "fixtures behind our endpoint",
    "device-login": "`clawbench login --server URL` prints a URL and a code, and a token arrives once a person has "
    "approved the code on the page.",
    "auth-headers": "`clawbench auth headers --server URL` prints it for clients that ask a program for their "
    "headers, and renews it",
    "api-keys": "Where nobody is: an API key from your account page, or `clawbench admin token --agent NAME` on the "
    "host",
    "openid": "Everybody else's account begins with `clawbench admin user NAME`, or at your own OpenID issuer",
    # The tools
    "tool-table": "A run is one agent's attempt at one task. Everything hangs on its `run_id`, nothing on the MCP "
    "session.",
    "hardened": "The sandbox is a hardened container: no capabilities for the agent, no new privileges, limits on "
    "memory, CPU and processes",
    "no-network": "a network only if the task asks for one; no shipped task does.",
    "output-cut": "Output beyond 30,000 bytes is cut in the middle, and the answer says how to read the rest.",
    "budgets-told": "Every acting call's answer says what is left of the run's budgets: calls, seconds, output bytes.",
    "error-shape": 'An error is a tool result with `isError` and `{"error": {"code", "message", "hint"}}`.',
    "others-runs-unknown": "Somebody else's run looks like one that does not exist.",
    # Exactly once
    "claimed-first": "The first delivery is claimed in Postgres before the sandbox is touched, runs, and its answer is "
    "recorded.",
    "replayed": "The same call again gets the recorded answer, byte for byte, and runs nothing; while the first still "
    "runs, it waits.",
    "conflict": "The same id with other arguments is refused with `call_id_conflict`, and nothing runs.",
    "survives-a-crash": "If the server dies in between, the sandbox knows by the call's id what became of it: never "
    "started, running, or finished with this result. It is never started twice.",
    "lost-is-not-zero": "If the sandbox itself is lost, the answer is `outcome_unknown` and the run is voided: a fault "
    "of the platform is never a score of 0.",
    # Publishing
    "scored-elsewhere": "`finalize_run` freezes the sandbox, takes the work out, puts it into a fresh container that "
    "the agent never touched, brings the tests in only there, and scores.",
    "private-until-approved": "A run is private until every gate has passed and an admin has approved exactly its "
    "evidence.",
    "withdrawn": "Withdrawing the approval makes the run private at once.",
    "evidence": "`clawbench runs export` writes it with everything the score rests on, and `clawbench verify "
    "evidence.tar.gz` checks that without any server.",
    "public-trace": "The public trace has the order, times, tools and outcomes of the calls; commands, file contents "
    "and output stay private.",
    # Tasks
    "catalog": "Four benchmarks make up the catalog: Terminal Bench, SWE-Bench Verified, ClawBench Entry Test and Web "
    "Tasks.",
    "seven-tasks": "Terminal Bench is the one that can be run today; seven tasks of it are shipped.",
    "proved-tasks": "A task is refused until, on its own image, doing nothing scores below 1 and its reference "
    "solution scores 1.",
    "reward-errors": "A reward that is missing, empty or not a number is an error, not a 0.",
    # More than one machine
    "several-servers": "Several servers over one database answer any call of any run, and one that is killed is missed "
    "by nobody.",
    "worker-without-database": "`clawbench worker` does the sandbox work of a server on another machine: it speaks "
    "HTTPS with a token of its own and has no database login.",
    "late-workers": "A worker that falls silent loses its lease; another takes the call up, and what the first one "
    "brings later is dropped.",
    "turns": "Where work waits, owners take turns; `priority` of `start_run` orders an owner's own runs.",
    # Commands and configuration
    "commands": "Commands that read take `--json`.",
    "beside-a-server": "Commands on the host work beside a running server and without one",
    "settings": "Environment variables; `clawbench up` has options for the first few.",
    "embedded-postgres": "Without `DATABASE_URL`, a real Postgres comes up with the server, and goes down with it.",
    "rows-of-their-own": "row level security holds whatever a query forgets: anonymous readers see what is published, "
    "a signed-in person also rows of their own.",
    # Known limits
    "refused-tasks": "Tasks with several containers, a GPU, or an image of their own for the tests are refused at "
    "import.",
}
