"""The MCP door over real HTTP: every revision, every tool, every way in which clients differ."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import httpx2
import pytest

from clawbench.flows.tools import TOOLS
from clawbench.mcp_server import INSTRUCTIONS
from clawbench.model.caller import Scope
from clawbench.oauth.bearer import issue_token
from clawbench.store import calls
from clawbench.store.agents import archive_agent
from tests.support.client import fresh_id, text_of
from tests.support.stack import TASK, Member, Stack

MODERN, CODEX, OPENCODE = "2026-07-28", "2025-06-18", "2025-11-25"
REVISIONS = (MODERN, OPENCODE, CODEX)


class Wire:
    """JSON-RPC over HTTP, spoken by hand at one revision."""

    def __init__(self, http: httpx2.AsyncClient, url: str, revision: str) -> None:
        self._http, self._url, self.revision = http, f"{url}/mcp", revision

    async def post(self, method: str, params: Mapping[str, Any], *, id: int | None = 1) -> httpx2.Response:
        headers = {"MCP-Protocol-Version": self.revision}
        told = dict(params)
        if self.revision == MODERN:
            headers["Mcp-Method"] = method
            if "name" in params:
                headers["Mcp-Name"] = params["name"]
            told["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientInfo": {"name": "by-hand", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
                **told.get("_meta", {}),
            }
        body = {"jsonrpc": "2.0", "method": method, "params": told} | ({} if id is None else {"id": id})
        return await self._http.post(self._url, json=body, headers=headers)

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of one request."""
        answer = await self.post(method, params)
        assert answer.status_code == 200, answer.text
        (response,) = [message for message in messages(answer) if "id" in message]
        return response["result"]


def messages(answer: httpx2.Response) -> list[dict[str, Any]]:
    """Every JSON-RPC message of a response, whether it came as JSON or as events."""
    if answer.headers["content-type"].startswith("application/json"):
        return [answer.json()]
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: {")]


def by_hand(member: Member) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {member.token}", "Accept": "application/json, text/event-stream"}
    return httpx2.AsyncClient(headers=headers, timeout=60)


@pytest.mark.parametrize("revision", REVISIONS)
async def test_every_revision_of_the_protocol_starts_works_and_ends_a_run(stack: Stack, revision: str) -> None:
    member = await stack.member()
    async with by_hand(member) as http:
        wire = Wire(http, stack.url, revision)
        if revision != MODERN:
            client = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
            hello = await wire.ask("initialize", **client)
            assert (hello["protocolVersion"], hello["instructions"]) == (revision, INSTRUCTIONS)
            assert (await wire.post("notifications/initialized", {}, id=None)).status_code == 202
        else:
            hello = await wire.ask("server/discover")
            assert (MODERN in hello["supportedVersions"], hello["instructions"]) == (True, INSTRUCTIONS)
        listed = await wire.ask("tools/list")
        assert {tool["name"] for tool in listed["tools"]} == set(TOOLS)
        start = {"benchmark": "terminal-bench", "task_id": TASK, "client_call_id": fresh_id()}
        started = await wire.ask("tools/call", name="start_run", arguments=start)
        run_id = started["structuredContent"]["run_id"]
        work = {"run_id": run_id, "client_call_id": fresh_id(), "command": "echo 42 | tee answer"}
        worked = await wire.ask("tools/call", name="run_command", arguments=work)
        assert worked["structuredContent"]["stdout"] == "42\n"
        end = {"run_id": run_id, "client_call_id": fresh_id()}
        ended = await wire.ask("tools/call", name="finalize_run", arguments=end)
        assert ended["structuredContent"]["score"] == 1.0
        assert ended["isError"] is False


@pytest.mark.parametrize(("mode", "revision"), [("auto", MODERN), (MODERN, MODERN), ("legacy", OPENCODE)])
async def test_the_stock_client_agrees_on_a_revision(stack: Stack, mode: str, revision: str) -> None:
    member = await stack.member()
    async with stack.connected(member, mode=mode) as agent:
        assert agent.client.protocol_version == revision
        assert (await agent.call("whoami"))["agent"] == member.caller.agent_name


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "HEAD"])
async def test_anything_but_post_is_405_and_says_what_is_allowed(stack: Stack, method: str) -> None:
    member = await stack.member()
    async with by_hand(member) as http:
        answer = await http.request(method, f"{stack.url}/mcp")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("case", ["none", "unknown", "basic", "other audience", "expired", "revoked", "archived agent"])
async def test_without_a_good_token_it_is_401_and_says_where_to_sign_in(stack: Stack, case: str) -> None:
    member, pool = await stack.member(), stack.deps.pool
    header = f"Bearer {member.token}"
    match case:
        case "none":
            header = None
        case "unknown":
            header += "x"
        case "basic":
            header = header.replace("Bearer", "Basic")
        case "other audience":
            other = await issue_token(
                pool,
                agent=member.person.agent,
                scopes=[Scope.READ],
                lifetime=timedelta(hours=1),
                resource="https://elsewhere.test/mcp",
            )
            header = f"Bearer {other.text}"
        case "expired":
            await pool.execute(
                "update clawbench.access_tokens set created_at = now() - interval '2 h', expires_at = now() "
                "where agent_id = $1",
                member.caller.agent_id,
            )
        case "revoked":
            await pool.execute(
                "update clawbench.access_tokens set revoked_at = now() where agent_id = $1", member.caller.agent_id
            )
        case _:
            await archive_agent(pool, member.caller.agent_id)
    async with by_hand(member) as http:
        http.headers.pop("authorization")
        if header is not None:
            http.headers["authorization"] = header
        for method in ("POST", "GET"):
            answer = await http.request(method, f"{stack.url}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
            assert answer.status_code == 401
            challenge = answer.headers["www-authenticate"]
            assert f'resource_metadata="{stack.url}/.well-known/oauth-protected-resource/mcp"' in challenge
            assert 'scope="clawbench:read clawbench:run"' in challenge
            assert ('error="invalid_token"' in challenge) is (case not in ("none", "basic"))


async def test_a_token_that_may_only_read_is_asked_to_step_up_for_a_tool_that_acts(stack: Stack) -> None:
    member = await stack.member(Scope.READ)

    async def call(http: httpx2.AsyncClient, name: str) -> httpx2.Response:
        params: dict[str, object] = {"name": name, "arguments": {}}
        return await http.post(
            f"{stack.url}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        )

    async with by_hand(member) as http:
        acting, looking, unknown = [await call(http, name) for name in ("start_run", "whoami", "no_such_tool")]
        odd = await http.post(f"{stack.url}/mcp", content=b'{"method": "tools/call", "params": [["name"]]}')
    assert acting.status_code == 403 and acting.json()["error"]["code"] == "not_permitted"
    told = acting.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in told and 'scope="clawbench:read clawbench:run"' in told
    assert f'resource_metadata="{stack.url}/.well-known/oauth-protected-resource/mcp"' in told
    assert (looking.status_code, unknown.status_code, odd.status_code) == (200, 200, 400)


async def test_another_host_name_is_not_answered(stack: Stack) -> None:
    member = await stack.member()
    async with by_hand(member) as http:
        rebound = await http.post(f"{stack.url}/mcp", json={}, headers={"Host": "evil.test"})
        foreign = await http.post(f"{stack.url}/mcp", json={}, headers={"Origin": "https://evil.test"})
    assert (rebound.status_code, foreign.status_code) == (421, 403)


async def test_every_tool_is_named_and_annotated_as_the_strictest_client_wants(stack: Stack) -> None:
    member = await stack.member()
    async with stack.connected(member) as agent:
        listed = (await agent.client.list_tools()).tools
    assert [tool.name for tool in listed] == list(TOOLS)
    for tool in listed:
        assert re.fullmatch(r"[a-z0-9_]{1,40}", tool.name)
        assert tool.name != "exec_command"
        assert tool.title
        assert tool.description
        hints = tool.annotations
        assert hints is not None
        assert hints.read_only_hint is not TOOLS[tool.name].acts
        assert (hints.destructive_hint, hints.open_world_hint, hints.idempotent_hint) == (False, False, True)


def every_schema(schema: object) -> list[dict[str, Any]]:
    """The schema and all that is in it."""
    if isinstance(schema, dict):
        own = cast("dict[str, Any]", schema)
        return [own, *(each for value in own.values() for each in every_schema(value))]
    if isinstance(schema, list):
        return [each for value in cast("list[object]", schema) for each in every_schema(value)]
    return []


async def test_every_schema_is_closed_told_and_without_surprises(stack: Stack) -> None:
    member = await stack.member()
    async with stack.connected(member) as agent:
        listed = (await agent.client.list_tools()).tools
    for tool in listed:
        schema = tool.input_schema
        assert (schema["type"], schema["additionalProperties"]) == ("object", False)
        properties = cast("dict[str, Any]", schema.get("properties", {}))
        assert set(properties) == set(TOOLS[tool.name].arguments.model_fields)
        assert ("client_call_id" in schema.get("required", [])) is TOOLS[tool.name].acts, tool.name
        for each in every_schema(schema):
            assert not {"oneOf", "allOf", "not", "if"} & set(each), tool.name
            reference = each.get("$ref", "#/$defs/")
            assert reference.startswith("#/$defs/")
        for name in ("run_id", "client_call_id"):
            assert properties.get(name, {"description": "-"})["description"]


async def test_what_is_listed_depends_on_the_scope_alone(stack: Stack) -> None:
    lists: dict[str, set[str]] = {}
    for scopes in ((Scope.READ,), (Scope.RUN,), (Scope.READ, Scope.RUN)):
        for mode in ("auto", "legacy"):
            member = await stack.member(*scopes)
            async with stack.connected(member, mode=mode) as agent:
                names = {tool.name for tool in (await agent.client.list_tools()).tools}
            assert lists.setdefault(" ".join(scopes), names) == names
    read, run, both = lists.values()
    assert read == {"whoami", "list_benchmarks", "list_tasks", "get_run", "list_runs", "resume_run"}
    assert (read & run, read | run) == (set(), both)
    assert both == set(TOOLS)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.promise("error-shape")
async def test_text_and_structure_say_the_same_also_in_errors(stack: Stack, mode: str) -> None:
    member = await stack.member()
    run_id = await stack.run(member)
    async with stack.connected(member, mode=mode) as agent:
        for tool, arguments in (
            ("whoami", {}),
            ("list_tasks", {}),
            ("run_command", {"run_id": run_id, "client_call_id": fresh_id(), "command": "printf 'ä\\0\\377'; exit 3"}),
            ("read_file", {"run_id": run_id, "path": "/nope"}),
            ("run_command", {"run_id": run_id}),
            ("nope", {}),
        ):
            result = await agent.deliver(tool, **arguments)
            assert json.loads(text_of(result)) == result.structured_content
            assert result.is_error == ("error" in cast("dict[str, Any]", result.structured_content)), tool


async def test_a_lone_surrogate_in_a_tools_name_breaks_nothing(stack: Stack) -> None:
    member = await stack.member()
    async with by_hand(member) as http:
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\\ud800","arguments":{}}}'
        headers = {"MCP-Protocol-Version": OPENCODE, "Content-Type": "application/json"}
        answer = await http.post(f"{stack.url}/mcp", content=body, headers=headers)
        assert answer.status_code in (200, 400)
        assert (await Wire(http, stack.url, OPENCODE).ask("tools/call", name="whoami", arguments={}))[
            "isError"
        ] is False


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_cancellation_that_comes_after_the_answer_does_no_harm(stack: Stack, revision: str) -> None:
    member = await stack.member()
    run_id = await stack.run(member)
    call = {"run_id": run_id, "client_call_id": fresh_id(), "command": "echo x | tee -a effects"}
    async with by_hand(member) as http:
        wire = Wire(http, stack.url, revision)
        first = await wire.ask("tools/call", name="run_command", arguments=call)
        told = await wire.post("notifications/cancelled", {"requestId": 1, "reason": "late"}, id=None)
        assert told.status_code == 202
        assert await wire.ask("tools/call", name="run_command", arguments=call) == first
        assert (await wire.ask("tools/call", name="resume_run", arguments={"run_id": run_id}))["structuredContent"][
            "status"
        ] == "running"


async def test_a_long_call_says_that_it_goes_on_before_any_client_gives_up(stack: Stack) -> None:
    """The period is ten seconds; OpenCode gives up after sixty without a word, and the promise is twenty."""
    member = await stack.member()
    run_id = await stack.run(member)
    heard: list[tuple[float, float]] = []
    clock = asyncio.get_running_loop().time
    begun = clock()

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        del total, message
        heard.append((clock() - begun, progress))

    async def call(mode: str) -> None:
        command = {"run_id": run_id, "client_call_id": fresh_id(), "command": "sleep 11.5"}
        async with stack.connected(member, mode=mode) as agent:
            result = await agent.client.call_tool("run_command", command, progress_callback=progress)
            assert not result.is_error

    await asyncio.gather(call("auto"), call("legacy"))
    assert len(heard) == 2
    assert all(5 < at < 20 and 5 < told < 20 for at, told in heard), heard


@pytest.mark.promise("output-cut")
async def test_long_output_shows_head_and_tail_and_the_rest_is_read_on(stack: Stack) -> None:
    member = await stack.member()
    run_id = await stack.run(member)
    whole = "".join(f"{each}\n" for each in range(1, 20_001))
    async with stack.connected(member) as agent:
        call_id = fresh_id()
        cut = await agent.call("run_command", run_id=run_id, client_call_id=call_id, command="seq 1 20000; echo e >&2")
        assert (cut["truncated"], cut["command_id"], cut["stdout_bytes"]) == (True, call_id, len(whole))
        assert cut["stderr"] == "e\n"
        head, marker, tail = re.split(r"\n(\[… .* …\])\n", cut["stdout"])
        assert whole.startswith(head)
        assert whole.endswith(tail)
        assert str(len(whole) - len(head) - len(tail)) in marker
        assert 29_000 < len(head) + len(tail) <= 30_000
        assert (
            len(
                text_of(
                    await agent.deliver(
                        "run_command", run_id=run_id, client_call_id=call_id, command="seq 1 20000; echo e >&2"
                    )
                )
            )
            < 48_000
        )
        read, offset = head, len(head)
        while offset < len(whole):
            part = await agent.call("poll_command", run_id=run_id, command_id=call_id, offset=offset)
            assert part["status"] == "finished"
            read, offset = read + part["content"], part["next_offset"]
        assert read == whole
        past = await agent.call("poll_command", run_id=run_id, command_id=call_id, offset=len(whole))
        assert (past["content"], past["next_offset"]) == ("", len(whole))


async def test_both_streams_share_the_room_and_neither_starves_the_other(stack: Stack) -> None:
    member = await stack.member()
    run_id = await stack.run(member)
    answer = await stack.command(
        member, run_id, "head -c 100000 /dev/zero | tr '\\0' o; head -c 20000 /dev/zero | tr '\\0' e >&2"
    )
    assert answer["stdout"].count("o") >= 14_000
    assert answer["stderr"].count("e") >= 14_000


async def test_bytes_that_are_no_text_come_back_as_text_that_every_client_can_hold(stack: Stack) -> None:
    member = await stack.member()
    run_id = await stack.run(member)
    async with stack.connected(member) as agent:
        command = "printf 'a\\0b\\377c\\xed\\xa0\\x80d'; head -c 3000 /dev/urandom >noise; cat noise >&2"
        call = {"run_id": run_id, "client_call_id": fresh_id(), "command": command}
        answer = await agent.call("run_command", **call)
        assert answer["stdout"].startswith("a␀b\N{REPLACEMENT CHARACTER}c")
        assert answer["stdout"].endswith("d")
        assert "\0" not in answer["stderr"]
        assert text_of(await agent.deliver("run_command", **call)) == text_of(
            await agent.deliver("run_command", **call)
        )
        noise = await agent.call("read_file", run_id=run_id, path="noise")
        assert (noise["size"], noise["truncated"]) == (3000, False)
        assert "\0" not in noise["content"]
    kept = await calls.answer_of(stack.deps.pool, UUID(run_id), call["client_call_id"])
    assert kept is not None
    assert json.loads(kept.body)["stdout"] == answer["stdout"]


async def test_a_started_command_is_followed_by_polling(stack: Stack) -> None:
    member = await stack.member()
    run_id = await stack.run(member)
    async with stack.connected(member) as agent:
        call_id = fresh_id()
        started = await agent.call(
            "start_command", run_id=run_id, client_call_id=call_id, command="echo one; sleep 1; echo two; exit 4"
        )
        assert (started["command_id"], started["status"]) == (call_id, "running")
        poll = {"run_id": run_id, "command_id": call_id}
        early = await agent.call("poll_command", **poll)
        assert early["status"] == "running"
        late = await agent.call("poll_command", **poll, wait_s=15)
        assert (late["status"], late["exit_code"], late["content"]) == ("finished", 4, "one\ntwo\n")
        assert (await agent.refused("poll_command", run_id=run_id, command_id="never"))["code"] == "not_found"
