"""The MCP door: Streamable HTTP at ``/mcp``, stateless, one endpoint for every revision that the SDK serves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import mcp_types as types
import structlog
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE, TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clawbench import __version__
from clawbench.deps import Deps
from clawbench.door import challenge
from clawbench.errors import ClawBenchError, NotAuthenticated, NotPermitted
from clawbench.flows.tool_call import tool_call
from clawbench.flows.tools import TOOLS
from clawbench.model.call import Answer
from clawbench.model.caller import OFFERED_SCOPES, Caller
from clawbench.model.tool import Tool
from clawbench.settings import Settings

log = structlog.get_logger()

INSTRUCTIONS = """\
ClawBench measures agents. The loop:
1. list_tasks, then start_run with a benchmark and a client_call_id of your own. The answer has run_id, the task's \
instruction and your budgets.
2. Work in the run's sandbox with run_command, read_file, write_file, edit_file, list_files. The sandbox is separate \
from your own machine: your local files and shell are not part of the task.
3. finalize_run when you are done. It answers score and gates.
Give every acting call a new client_call_id. If an answer is lost, send the same call with the same client_call_id: \
it runs once and you get its answer. resume_run tells where a run stands. \
For commands longer than four minutes use start_command and poll_command."""

_SHOWN_CHARACTERS = 100_000
"""Claude Code cuts below this unless told otherwise."""


def mcp_door(deps: Deps) -> StreamableHTTPSessionManager:
    """The session manager of one app; its ``run()`` spans the app's life and it can be entered once."""
    wire_tools = {name: _as_wire(tool) for name, tool in TOOLS.items()}

    async def list_tools(
        ctx: ServerRequestContext[Any, Request], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        del params
        scopes = _caller(ctx).scopes
        return types.ListToolsResult(tools=[wire_tools[name] for name, tool in TOOLS.items() if tool.scope in scopes])

    async def call_tool(
        ctx: ServerRequestContext[Any, Request], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        async def progress(seconds: float, word: str) -> None:
            await ctx.session.report_progress(seconds, None, word)

        try:
            answer = await tool_call(deps, _caller(ctx), params.name, params.arguments or {}, progress)
        except ClawBenchError as error:
            answer = _refusal(error)
        except Exception:
            log.exception("tool.failed", tool=params.name)
            answer = _refusal(ClawBenchError("something went wrong in the server; it was written to its log"))
        return _result(answer)

    server = Server(
        "clawbench",
        version=__version__,
        title="ClawBench",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        get_tool_input_schema=lambda name: wire_tools[name].input_schema if name in wire_tools else None,
    )
    return StreamableHTTPSessionManager(app=server, stateless=True, security_settings=_allowed_hosts(deps.settings))


class McpEndpoint:
    """``/mcp`` as ASGI. GET is 405: the SDK's endless stateless stream leaves some clients without tools.

    A tool that the token's scopes do not cover is 403 with a challenge, so that a client can ask its person for more.
    """

    def __init__(self, door: StreamableHTTPSessionManager, origin: str) -> None:
        self._app: ASGIApp = door.asgi_app
        self._origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await Response("POST only\n", 405, headers={"Allow": "POST"})(scope, receive, send)
            return
        messages = await _whole(receive)
        if messages is None:
            return
        caller: Caller = scope["state"]["caller"]
        tool = None if caller.scopes.issuperset(OFFERED_SCOPES) else _called(messages)
        if tool is not None and tool.scope not in caller.scopes:
            refusal = NotPermitted(f"{tool.name} needs the scope {tool.scope}", hint="Sign in again and allow it.")
            headers = {"WWW-Authenticate": challenge(self._origin, error="insufficient_scope")}
            await JSONResponse({"error": refusal.as_dict()}, refusal.status, headers)(scope, receive, send)
            return
        held = iter(messages)

        async def again() -> Message:
            return next(held, None) or await receive()

        await self._app(scope, again, send)


async def _whole(receive: Receive) -> list[Message] | None:
    """The request once all of it is here, or more than the SDK takes; None if the client left before.

    The SDK would write a traceback to the log for each that leaves.
    """
    messages, size = list[Message](), 0
    while not messages or (messages[-1].get("more_body") and size <= DEFAULT_MAX_REQUEST_BODY_SIZE):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        messages.append(message)
        size += len(message.get("body", b""))
    return messages


def _called(messages: list[Message]) -> Tool | None:
    """The tool that this request calls, if it calls one of ours; what cannot be read is the SDK's to refuse."""
    try:
        body = json.loads(b"".join(message.get("body", b"") for message in messages))
        return TOOLS.get(body["params"]["name"]) if body["method"] == "tools/call" else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _caller(ctx: ServerRequestContext[Any, Request]) -> Caller:
    caller = getattr(ctx.request.state, "caller", None) if ctx.request is not None else None
    if not isinstance(caller, Caller):
        raise NotAuthenticated
    return caller


def _refusal(error: ClawBenchError) -> Answer:
    return Answer.of({"error": error.as_dict()}, is_error=True)


def _result(answer: Answer) -> types.CallToolResult:
    """The same answer twice: some clients show the model only the text, others only the structure."""
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=answer.body)],
        structured_content=json.loads(answer.body),
        is_error=answer.is_error,
    )


def _as_wire(tool: Tool) -> types.Tool:
    """Every hint is told: Codex's exec mode refuses a tool that leaves one open."""
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=_schema(tool),
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=not tool.acts,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=False,
        ),
        _meta={"anthropic/maxResultSizeChars": _SHOWN_CHARACTERS, "anthropic/alwaysLoad": True},
    )


def _schema(tool: Tool) -> dict[str, Any]:
    """JSON Schema without the titles that only repeat the names."""
    return cast(dict[str, Any], _untitled(tool.arguments.model_json_schema()))


def _untitled(schema: object) -> object:
    if isinstance(schema, Mapping):
        items = cast(Mapping[str, object], schema).items()
        return {key: _untitled(value) for key, value in items if not (key == "title" and isinstance(value, str))}
    if isinstance(schema, list):
        return [_untitled(value) for value in cast(list[object], schema)]
    return schema


def _allowed_hosts(settings: Settings) -> TransportSecuritySettings:
    """DNS rebinding protection: this server's own names, and what the operator adds."""
    hosts = [*settings.allowed_hosts, settings.origin.partition("://")[2], "127.0.0.1:*", "localhost:*", "[::1]:*"]
    origins = [f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")]
    return TransportSecuritySettings(enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=origins)
