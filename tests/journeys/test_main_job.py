"""The whole story, as an agent, its person and an admin live it: a real server, the stock client, a real sandbox."""

from __future__ import annotations

import asyncio
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import httpx2
import pytest

from clawbench.benchmarks.terminal_bench import SHIPPED_TASKS
from clawbench.model.gate import GATES
from tests.journeys.conftest import TASK
from tests.sign_in_app import PASSWORD, send
from tests.support.client import Agent, fresh_id, signed_in, text_of
from tests.support.engine import GONE_WITHIN_S, container_of, docker
from tests.support.process import Installation

SOLUTION = (SHIPPED_TASKS / TASK / "solution" / "solve.sh").read_text()
AGENT = "Tester_agent"
SLOW = "echo begun >> /app/begun; sleep 3; echo x >> /app/count; cat /app/count"


async def sign_in(installation: Installation) -> str:
    """A person sets a password and approves the code that ``clawbench login`` shows; the token that arrives."""
    setup = (await installation.ok("admin", "user", "ada")).strip()
    assert setup.startswith(f"{installation.url}/setup?token=")
    async with installation.spawn("login", "--server", installation.url, "--agent", AGENT) as login:
        assert login.stdout is not None
        address = re.fullmatch(r"Open +(\S+)\n", (await login.stdout.readline()).decode())
        assert address is not None
        await approve_in_browser(installation, setup, httpx2.URL(address[1]).params["user_code"])
        out, err = await login.communicate()
    assert login.returncode == 0, err.decode()
    assert f"signed in to {installation.url} as {AGENT}" in out.decode()
    headers = json.loads(await installation.ok("auth", "headers", "--server", installation.url))
    return headers["Authorization"].removeprefix("Bearer ")


async def approve_in_browser(installation: Installation, setup: str, code: str) -> None:
    """Set the password behind the setup link, then say yes to the code as a new agent."""
    token = setup.partition("token=")[2]
    async with httpx2.AsyncClient(base_url=installation.url) as browser:
        fields = {"token": token, "password": PASSWORD, "password_again": PASSWORD}
        assert (await send(browser, f"/setup?token={token}", fields)).status_code == 303
        approval = {"user_code": code, "decision": "approve", "agent": "new", "agent_name": AGENT}
        approved = await send(browser, f"/device?user_code={code}", approval)
        assert approved.status_code == 200, approved.text


async def leaderboard(installation: Installation) -> list[dict[str, Any]]:
    async with httpx2.AsyncClient(base_url=installation.url) as anybody:
        answer = await anybody.get("/api/v1/leaderboard", params={"benchmark": "terminal-bench"})
        assert answer.status_code == 200
        return answer.json()["data"]["rows"]


async def seen_by_anybody(installation: Installation, run_id: str) -> tuple[int, int, bool, int]:
    """JSON of the run, page of the run, named on the board's page, rows of the board."""
    async with httpx2.AsyncClient(base_url=installation.url) as anybody:
        run = await anybody.get(f"/api/v1/runs/{run_id}")
        page = await anybody.get(f"/runs/{run_id}")
        board = await anybody.get("/leaderboard/terminal-bench")
    return run.status_code, page.status_code, AGENT in board.text, len(await leaderboard(installation))


PRIVATE = (404, 404, False, 0)
PUBLIC = (200, 200, True, 1)


async def begun(run_id: str) -> None:
    """Wait until the slow command has had its first effect, as the engine sees it."""
    async with asyncio.timeout(20):
        while True:
            container = await container_of(f"cb-{run_id}")
            if container is not None and "sleep 3" in await docker("top", container):
                return


def repacked(bundle: bytes, name: str, old: bytes, new: bytes) -> bytes:
    """The bundle with one file changed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(bundle)) as source, tarfile.open(fileobj=out, mode="w:gz") as target:
        for member in source:
            stream = source.extractfile(member)
            assert stream is not None
            content = stream.read()
            if member.name == name:
                assert old in content
                content = content.replace(old, new, 1)
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.promise(
    "device-login",
    "auth-headers",
    "survives-a-crash",
    "private-until-approved",
    "withdrawn",
    "evidence",
    "beside-a-server",
)
async def test_an_agent_signs_in_works_survives_a_killed_server_and_is_published_by_an_admin(
    installation: Installation, tmp_path: Path
) -> None:
    token = await sign_in(installation)

    async with signed_in(installation.url, token) as agent:
        me = await agent.call("whoami")
        assert (me["agent"], me["scopes"]) == (AGENT, ["clawbench:read", "clawbench:run"])
        offered = await agent.call("list_tasks")
        assert [task["task_id"] for task in offered["tasks"]] == [TASK]
        start_id = fresh_id()
        started = await agent.call("start_run", benchmark="terminal-bench", task_id=TASK, client_call_id=start_id)
        run_id: str = started["run_id"]
        assert started["status"] == "running"
        assert "shift" in started["task"]["instruction"]
        looked = await agent.run(run_id, "id -un; pwd; ls logs")
        assert looked["stdout"].splitlines()[:2] == ["agent", "/app"]

    slow_id = fresh_id()
    with pytest.raises((httpx2.TransportError, BaseExceptionGroup)):
        async with signed_in(installation.url, token) as agent, asyncio.TaskGroup() as at_once:
            slow = {"run_id": run_id, "client_call_id": slow_id, "command": SLOW}
            at_once.create_task(agent.deliver("run_command", **slow))
            await begun(run_id)
            await installation.kill()

    assert await installation.up() == f"ready: {installation.url}\n"
    async with signed_in(installation.url, token) as agent:
        await finish(installation, agent, run_id, start_id, slow_id)
    await judge(installation, run_id)
    await evidence(installation, run_id, tmp_path)


async def finish(installation: Installation, agent: Agent, run_id: str, start_id: str, slow_id: str) -> None:
    """The same calls again get one answer each; then the task is solved and handed in."""
    standing = await agent.call("resume_run", run_id=run_id)
    assert standing["status"] == "running"
    assert slow_id in {call["client_call_id"] for call in standing["in_flight"] + standing["answered"]}

    again = await agent.deliver("run_command", run_id=run_id, client_call_id=slow_id, command=SLOW)
    assert not again.is_error, again.structured_content
    assert (again.structured_content["exit_code"], again.structured_content["stdout"]) == (0, "x\n")
    third = await agent.deliver("run_command", run_id=run_id, client_call_id=slow_id, command=SLOW)
    assert text_of(third) == text_of(again)
    effects = await agent.run(run_id, "wc -l < begun; wc -l < count")
    assert effects["stdout"].split() == ["1", "1"]

    standing = await agent.call("resume_run", run_id=run_id)
    assert slow_id in {call["client_call_id"] for call in standing["answered"]}
    assert standing["in_flight"] == []
    restarted = await agent.call("start_run", benchmark="terminal-bench", task_id=TASK, client_call_id=start_id)
    assert restarted["run_id"] == run_id

    solved = await agent.run(run_id, SOLUTION)
    assert solved["exit_code"] == 0, solved
    final_id = fresh_id()
    final = await agent.deliver("finalize_run", run_id=run_id, client_call_id=final_id)
    told = final.structured_content
    assert (told["status"], told["score"], told["passed"]) == ("done", 1.0, True)
    assert set(told["gates"]) == set(GATES)
    assert {name for name, said in told["gates"].items() if said != "passed"} == {"admin_approved"}
    replay = await agent.deliver("finalize_run", run_id=run_id, client_call_id=final_id)
    assert text_of(replay) == text_of(final)
    assert text_of(await agent.deliver("run_command", run_id=run_id, client_call_id=slow_id, command=SLOW)) == text_of(
        again
    )
    assert await seen_by_anybody(installation, run_id) == PRIVATE
    async with asyncio.timeout(GONE_WITHIN_S):
        while await container_of(f"cb-{run_id}") is not None:  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.05)


async def judge(installation: Installation, run_id: str) -> None:
    """Private until an admin approves; private again as soon as that is withdrawn."""
    waiting = json.loads(await installation.ok("admin", "gate", "list", "--json"))
    assert [(row["run_id"], row["refused_by"]) for row in waiting] == [(run_id, [])]
    approved = await installation.ok("admin", "gate", "approve", run_id, "--reason", "read the trace")
    assert f"public: {installation.url}/runs/{run_id}" in approved
    assert await seen_by_anybody(installation, run_id) == PUBLIC
    (row,) = await leaderboard(installation)
    assert (row["rank"], row["agent_name"], row["tasks_passed"], row["mean_score"]) == (1, AGENT, 1, 1.0)
    await installation.ok("admin", "gate", "withdraw", run_id, "--reason", "second thoughts")
    assert await seen_by_anybody(installation, run_id) == PRIVATE
    again = await installation.run("admin", "gate", "withdraw", run_id, "--reason", "twice")
    assert (again.code, again.out) == (1, "")
    assert again.err.startswith("clawbench: this run has no standing approval\n")


async def evidence(installation: Installation, run_id: str, directory: Path) -> None:
    """The exported bundle verifies without a server, and one that was touched does not."""
    await installation.ok("runs", "export", run_id, "--out", str(directory))
    bundle = directory / "evidence.tar.gz"
    checked = json.loads(await installation.ok("verify", str(bundle), "--json"))
    assert (checked["ok"], checked["score"], checked["problems"]) == (True, 1.0, [])
    events = [json.loads(line) for line in (directory / "trace.jsonl").read_text().splitlines()]
    assert checked["events"] == len(events)
    forged = directory / "forged.tar.gz"
    forged.write_bytes(repacked(bundle.read_bytes(), "trace.jsonl", b"sleep 3", b"sleep 4"))
    refused = await installation.run("verify", str(forged), "--json")
    assert refused.code == 1
    assert json.loads(refused.out)["ok"] is False
