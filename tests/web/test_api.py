"""The public JSON, the pages, and the admin's JSON: what is published and nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from pytest_asyncio import fixture as async_fixture

from clawbench.flows.publish import approve
from clawbench.model.benchmark import Benchmark
from clawbench.model.caller import Scope
from clawbench.model.gate import GATES
from tests.support.stack import Member, Stack


@async_fixture
async def anybody(stack: Stack) -> AsyncGenerator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=stack.url) as client:
        yield client


@async_fixture(scope="module")
async def member(stack: Stack) -> Member:
    return await stack.member()


@async_fixture(scope="module")
async def private(stack: Stack, member: Member) -> str:
    """Scored, and nobody's but its owner's."""
    return await stack.scored_run(member)


@async_fixture(scope="module")
async def published(stack: Stack, member: Member) -> str:
    run_id = await stack.scored_run(member)
    await approve(stack.deps, UUID(run_id), by="a", reason="r")
    return run_id


async def test_health_says_ok_and_the_version(anybody: httpx2.AsyncClient) -> None:
    answer = await anybody.get("/health")
    assert answer.status_code == 200
    assert answer.json()["ok"] is True
    assert answer.json()["data"]["status"] == "ok"


@pytest.mark.parametrize("path", ["/sign-in/", "/mcp/", "/static", "/api/v1/admin", "/api/v1/admin/gate/"])
async def test_a_slash_too_many_or_too_few_leads_nowhere(stack: Stack, anybody: httpx2.AsyncClient, path: str) -> None:
    token = (await stack.member(Scope.ADMIN, admin=True)).token
    answer = await anybody.get(path, headers={"Host": "elsewhere.test", "Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.headers.get("location")) == (404, None)


async def test_the_board_holds_only_what_was_approved(
    anybody: httpx2.AsyncClient, member: Member, private: str, published: str
) -> None:
    rows = (await anybody.get("/api/v1/leaderboard")).json()["data"]["rows"]
    (mine,) = [row for row in rows if row["agent_name"] == member.caller.agent_name]
    assert (mine["tasks_passed"], mine["tasks_tried"], mine["runs"], mine["mean_score"]) == (1, 1, 1, 1.0)
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    page = (await anybody.get("/leaderboard/terminal-bench")).text
    assert published in page
    assert private not in page


@pytest.mark.parametrize("benchmark", list(Benchmark))
async def test_every_benchmark_has_a_board(anybody: httpx2.AsyncClient, benchmark: Benchmark) -> None:
    answer = await anybody.get("/api/v1/leaderboard", params={"benchmark": benchmark})
    assert (answer.status_code, answer.json()["data"]["benchmark"]) == (200, benchmark)
    page = await anybody.get(f"/leaderboard/{benchmark}")
    assert (page.status_code, benchmark.label in page.text) == (200, True)


async def test_there_is_no_fifth_board(anybody: httpx2.AsyncClient) -> None:
    answer = await anybody.get("/api/v1/leaderboard", params={"benchmark": "fifth"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_arguments")
    assert (await anybody.get("/leaderboard/fifth")).status_code == 400


async def test_a_published_run_shows_its_trace_and_no_more(anybody: httpx2.AsyncClient, published: str) -> None:
    told = (await anybody.get(f"/api/v1/runs/{published}")).json()["data"]
    assert set(told) == {
        "run_id",
        "agent_name",
        "benchmark",
        "task_id",
        "task_title",
        "score",
        "passed",
        "calls",
        "wall_s",
        "evidence_head",
        "finished_at",
        "published_at",
        "trace",
    }
    assert told["trace"][-1]["sha256"] == told["evidence_head"]
    assert [event["seq"] for event in told["trace"]] == list(range(1, len(told["trace"]) + 1))
    assert "echo 42" not in json.dumps(told)
    page = await anybody.get(f"/runs/{published}")
    assert page.status_code == 200
    assert told["evidence_head"] in page.text
    assert "echo 42" not in page.text


@pytest.mark.parametrize("which", ["private", "unknown", "no id", "odd"])
async def test_what_is_not_published_is_not_there(anybody: httpx2.AsyncClient, private: str, which: str) -> None:
    run_id = {"private": private, "unknown": str(uuid4()), "no id": "1", "odd": "%00%ff"}[which]
    answers = [await anybody.get(f"/api/v1/runs/{run_id}"), await anybody.get(f"/api/v1/runs/{uuid4()}")]
    assert [answer.status_code for answer in answers] == [404, 404]
    error = answers[0].json()["error"]
    assert (error["code"], bool(error["hint"])) == ("not_found", True)
    if which == "private":
        assert answers[0].json() == answers[1].json()
    assert (await anybody.get(f"/runs/{run_id}")).status_code == 404


@pytest.mark.parametrize("path", ["/api/v1/leaderboard", "/health", "/leaderboard/terminal-bench"])
async def test_the_public_side_takes_no_other_methods(anybody: httpx2.AsyncClient, path: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert (await anybody.request(method, path)).status_code == 405


async def test_the_front_page_leads_to_the_board(anybody: httpx2.AsyncClient) -> None:
    answer = await anybody.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/leaderboard/terminal-bench")


async def admin(stack: Stack, member: Member, method: str, path: str, body: object = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {member.token}"}
    async with httpx2.AsyncClient(base_url=stack.url, headers=headers) as client:
        answer = await client.request(method, f"/api/v1/admin{path}", json=body)
    return answer.status_code, answer.json()


async def test_an_admin_lists_shows_approves_and_withdraws(stack: Stack, anybody: httpx2.AsyncClient) -> None:
    judge = await stack.member(Scope.READ, Scope.ADMIN, admin=True)
    agent = await stack.member()
    run_id = await stack.scored_run(agent)
    status, listed = await admin(stack, judge, "GET", "/gate")
    assert status == 200
    assert run_id in {row["run_id"] for row in listed["data"]["runs"]}
    status, shown = await admin(stack, judge, "GET", f"/gate/{run_id}")
    assert (status, set(shown["data"]["gates"])) == (200, set(GATES))
    status, approved = await admin(stack, judge, "POST", f"/gate/{run_id}/approve", {"reason": "fine"})
    assert (status, set(approved["data"]["gates"].values())) == (200, {"passed"})
    assert (await anybody.get(f"/runs/{run_id}")).status_code == 200
    by = await stack.deps.pool.fetchval("select approved_by from clawbench.approvals where run_id = $1", UUID(run_id))
    assert by == f"user {judge.caller.user_id}"
    status, _ = await admin(stack, judge, "POST", f"/gate/{run_id}/withdraw", {"reason": "not fine"})
    assert (status, (await anybody.get(f"/runs/{run_id}")).status_code) == (200, 404)
    status, told = await admin(stack, judge, "POST", f"/gate/{run_id}/withdraw", {"reason": "again"})
    assert (status, told["error"]["code"]) == (409, "refused")


@pytest.mark.parametrize("who", ["nobody", "an agent", "no admin any more"])
async def test_nobody_else_judges(stack: Stack, private: str, who: str) -> None:
    member = await stack.member() if who == "an agent" else await stack.member(Scope.ADMIN, admin=True)
    if who == "no admin any more":
        await stack.deps.pool.execute(
            "update clawbench.users set is_admin = false where id = $1", member.caller.user_id
        )
    if who == "nobody":
        member = Member(person=member.person, caller=member.caller, token="none")
    expected = 401 if who == "nobody" else 403
    for method, path in (("GET", "/gate"), ("GET", f"/gate/{private}"), ("POST", f"/gate/{private}/approve")):
        status, told = await admin(stack, member, method, path, {"reason": "r"} if method == "POST" else None)
        assert status == expected, (path, told)
        assert told["error"]["code"] in ("not_authenticated", "not_permitted")
    approvals = "select count(*) from clawbench.approvals where run_id = $1"
    assert await stack.deps.pool.fetchval(approvals, UUID(private)) == 0


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"reason": ""},
        {"reason": "x" * 1001},
        {"reason": 1},
        {"reason": "r", "more": 1},
        [],
        "r",
        {"reason": "a\0b"},
    ],
)
async def test_a_judgement_needs_a_reason_and_nothing_else(stack: Stack, private: str, body: object) -> None:
    judge = await stack.member(Scope.ADMIN, admin=True)
    status, told = await admin(stack, judge, "POST", f"/gate/{private}/approve", body)
    assert (status, told["error"]["code"]) == (400, "invalid_arguments")
    approvals = "select count(*) from clawbench.approvals where run_id = $1"
    assert await stack.deps.pool.fetchval(approvals, UUID(private)) == 0


async def test_judging_what_is_not_there_is_not_found(stack: Stack) -> None:
    judge = await stack.member(Scope.ADMIN, admin=True)
    for method, path in (("GET", f"/gate/{uuid4()}"), ("POST", f"/gate/{uuid4()}/approve"), ("GET", "/gate/x")):
        status, told = await admin(stack, judge, method, path, {"reason": "r"} if method == "POST" else None)
        assert (status, told["error"]["code"]) == (404, "not_found")
