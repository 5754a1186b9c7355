"""A model that follows a script: it looks at the tool results it is sent and asks for the next call.

It speaks as much of Anthropic's Messages, OpenAI's Responses and OpenAI's Chat Completions as the clients need,
streamed as they ask for it, so that a real client can be driven without any model and without the network.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.process import free_port
from tests.support.stack import served

Json = dict[str, Any]

DONE = "The run is finalized."
BUDGET = "calls_left"
"""Every answer of a call that acted tells it; a refusal does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A tool call that the model wants."""

    tool: str
    arguments: Mapping[str, object]
    in_run: bool = True
    """Whether it also gets the ``run_id`` that an earlier answer named."""
    first: Callable[[], Awaitable[None]] | None = None
    """What happens in the world before the model asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The next call as a client knows the tool."""

    tool: str
    namespace: str | None
    arguments: Json
    id: str = field(default_factory=lambda: f"call_{uuid4().hex[:20]}")


@dataclass(slots=True, kw_only=True)
class ScriptedModel:
    """One conversation's script."""

    script: Sequence[Ask]
    url: str = ""

    async def next(self, tools: Mapping[str, str | None], results: Sequence[str]) -> Wish | str:
        """What the model says to this many results: a call, or words."""
        if len(results) >= len(self.script):
            return DONE
        if results and BUDGET not in results[-1]:
            return f"That failed: {results[-1]}"
        ask = self.script[len(results)]
        name = next((name for name in tools if _is(name, ask.tool)), None)
        if name is None:
            return f"I see no {ask.tool} among {', '.join(tools) or 'no tools'}."
        if ask.first is not None:
            await ask.first()
        if not ask.in_run:
            return Wish(tool=name, namespace=tools[name], arguments=dict(ask.arguments))
        run_id = _run_id(results)
        if run_id is None:
            return f"No run was started: {results[0]}"
        return Wish(tool=name, namespace=tools[name], arguments={**ask.arguments, "run_id": run_id})


@contextlib.asynccontextmanager
async def scripted_model(script: Sequence[Ask]) -> AsyncGenerator[ScriptedModel]:
    """The model over HTTP, for one client's one conversation."""
    model = ScriptedModel(script=script)

    async def anthropic(request: Request) -> Response:
        asked = await request.json()
        tools: dict[str, str | None] = {tool["name"]: None for tool in asked.get("tools", [])}
        return _stream(_anthropic(await model.next(tools, list(_anthropic_results(asked)))))

    async def count_tokens(request: Request) -> Response:
        return JSONResponse({"input_tokens": 1000})

    async def responses(request: Request) -> Response:
        asked = await request.json()
        results = [
            _text(item["output"])
            for item in asked["input"]
            if item.get("type") in ("function_call_output", "mcp_tool_call_output")
        ]
        return _stream(_responses(await model.next(_function_names(asked.get("tools", [])), results)))

    async def chat(request: Request) -> Response:
        asked = await request.json()
        tools: dict[str, str | None] = {tool["function"]["name"]: None for tool in asked.get("tools", [])}
        results = [_text(message["content"]) for message in asked["messages"] if message["role"] == "tool"]
        return _stream(_chat(await model.next(tools, results)))

    async def models(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "scripted", "object": "model"}], "models": []})

    app = Starlette(
        routes=[
            Route("/v1/messages", anthropic, methods=["POST"]),
            Route("/v1/messages/count_tokens", count_tokens, methods=["POST"]),
            Route("/v1/responses", responses, methods=["POST"]),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
        ]
    )
    port = free_port()
    async with served(app, port):
        model.url = f"http://127.0.0.1:{port}"
        yield model


def _is(name: str, tool: str) -> bool:
    """Clients put the server's name before the tool's."""
    return name == tool or name.endswith(f"_{tool}")


def _run_id(results: Iterable[str]) -> str | None:
    for result in results:
        found = re.search(r'\\?"run_id\\?":\s*\\?"([0-9a-z-]+)', result)
        if found is not None:
            return found[1]
    return None


def _text(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content)


def _function_names(tools: Sequence[Json], namespace: str | None = None) -> dict[str, str | None]:
    """Codex puts the tools of a server into a namespace."""
    names = dict[str, str | None]()
    for tool in tools:
        if tool.get("type") == "namespace":
            names |= _function_names(tool["tools"], tool["name"])
        elif "name" in tool:
            names[tool["name"]] = namespace
    return names


def _anthropic_results(asked: Json) -> Iterator[str]:
    for message in asked["messages"]:
        if isinstance(message["content"], list):
            for block in message["content"]:
                if block["type"] == "tool_result":
                    yield _text(block.get("content", ""))


def _stream(events: Iterable[tuple[str | None, object]]) -> Response:
    """Server-sent events, whole at once."""
    lines = [
        (f"event: {name}\n" if name else "") + f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
        for name, data in events
    ]
    return Response("".join(lines), media_type="text/event-stream")


def _anthropic(said: Wish | str) -> Iterator[tuple[str, Json]]:
    def event(kind: str, **fields: object) -> tuple[str, Json]:
        return kind, {"type": kind, **fields}

    usage = {"input_tokens": 100, "output_tokens": 1}
    message: Json = {"id": f"msg_{uuid4().hex}", "type": "message", "role": "assistant", "model": "scripted"}
    message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield event("message_start", message=message)
    if isinstance(said, str):
        block: Json = {"type": "text", "text": ""}
        delta: Json = {"type": "text_delta", "text": said}
    else:
        block = {"type": "tool_use", "id": said.id.replace("call_", "toolu_"), "name": said.tool, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(said.arguments)}
    yield event("content_block_start", index=0, content_block=block)
    yield event("content_block_delta", index=0, delta=delta)
    yield event("content_block_stop", index=0)
    why = "end_turn" if isinstance(said, str) else "tool_use"
    yield event("message_delta", delta={"stop_reason": why, "stop_sequence": None}, usage={"output_tokens": 50})
    yield event("message_stop")


def _responses(said: Wish | str) -> Iterator[tuple[str, Json]]:
    def event(kind: str, **fields: object) -> tuple[str, Json]:
        return kind, {"type": kind, **fields}

    response: Json = {"id": f"resp_{uuid4().hex}", "object": "response", "model": "scripted", "output": []}
    if isinstance(said, str):
        content: Json = {"type": "output_text", "text": said, "annotations": []}
        item: Json = {"type": "message", "role": "assistant", "id": f"msg_{uuid4().hex}", "content": [content]}
    else:
        item = {
            "type": "function_call",
            "id": f"fc_{uuid4().hex}",
            "call_id": said.id,
            "name": said.tool,
            "arguments": json.dumps(said.arguments),
        }
        if said.namespace is not None:
            item["namespace"] = said.namespace
    usage = {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150}
    yield event("response.created", response={**response, "status": "in_progress"})
    yield event("response.output_item.added", output_index=0, item=item)
    yield event("response.output_item.done", output_index=0, item=item)
    yield event("response.completed", response={**response, "status": "completed", "output": [item], "usage": usage})


def _chat(said: Wish | str) -> Iterator[tuple[None, Json | str]]:
    def chunk(delta: Json, finish: str | None = None) -> tuple[None, Json]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return None, {**head, "choices": [choice]}

    head = {"id": f"chatcmpl-{uuid4().hex}", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
    if isinstance(said, str):
        yield chunk({"role": "assistant", "content": said})
        yield chunk({}, "stop")
    else:
        function = {"name": said.tool, "arguments": json.dumps(said.arguments)}
        call = {"index": 0, "id": said.id, "type": "function", "function": function}
        yield chunk({"role": "assistant", "content": None, "tool_calls": [call]})
        yield chunk({}, "tool_calls")
    yield None, {**head, "choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}}
    yield None, "[DONE]"
