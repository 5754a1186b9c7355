"""A server with the tools, resources and prompts that the conformance suite asks for by name.

They stand behind our own door (``McpEndpoint``, with the hosts that it allows) in place of ClawBench's tools, and with
sessions: requests from the server to the client, in the revisions that have them, need one.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast
from uuid import uuid4

import mcp_types as types
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.server.mcpserver.tools import Tool
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from clawbench.mcp_server import McpEndpoint
from clawbench.model.caller import OFFERED_SCOPES, Caller

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/q842iQAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="

RICH_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

Asked = types.CallToolResult | types.InputRequiredResult


def build_fixture_app() -> Starlette:
    """One app; its door lives as long as it does."""
    warnings.filterwarnings("ignore", category=MCPDeprecationWarning)  # the old revisions have what the new one left
    server = MCPServer("fixtures", version="1")
    _content(server)
    _speaking_to_the_client(server)
    _input_required(server)
    _schemas(server)
    _resources(server)
    _prompts(server)
    hosts = ["127.0.0.1:*", "localhost:*", "[::1]:*"]
    door = StreamableHTTPSessionManager(
        app=_low(server),
        security_settings=TransportSecuritySettings(
            allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts]
        ),
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with door.run():
            yield

    return Starlette(routes=[Route("/mcp", _SignedIn(McpEndpoint(door, "http://127.0.0.1")))], lifespan=lifespan)


class _SignedIn:
    """Everybody is somebody who may do all that can be asked for; who they are is not what is tested."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._caller = Caller(
            user_id=uuid4(), agent_id=uuid4(), agent_name="Tester_agent", scopes=frozenset(OFFERED_SCOPES)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "state": {**scope.get("state", {}), "caller": self._caller}}, receive, send)


def _low(server: MCPServer) -> Any:
    """The protocol's own server inside, which also knows what MCPServer has no decorator for."""
    low: Any = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]

    async def nothing(ctx: object, params: object) -> types.EmptyResult:
        return types.EmptyResult()

    low.add_request_handler("logging/setLevel", types.SetLevelRequestParams, nothing)
    low.add_request_handler("resources/subscribe", types.SubscribeRequestParams, nothing)
    low.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, nothing)
    return low


def _said(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


def _text_resource(uri: str, mime_type: str, text: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(
        type="resource", resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    )


def _content(server: MCPServer) -> None:
    image = types.ImageContent(type="image", data=PNG, mime_type="image/png")

    @server.tool(description="Text.")
    def test_simple_text() -> types.CallToolResult:
        return _said("This is a simple text response for testing.")

    @server.tool(description="An image.")
    def test_image_content() -> types.CallToolResult:
        return types.CallToolResult(content=[image])

    @server.tool(description="A sound.")
    def test_audio_content() -> types.CallToolResult:
        return types.CallToolResult(content=[types.AudioContent(type="audio", data=WAV, mime_type="audio/wav")])

    @server.tool(description="A resource.")
    def test_embedded_resource() -> types.CallToolResult:
        text = "This is an embedded resource content."
        return types.CallToolResult(content=[_text_resource("test://embedded-resource", "text/plain", text)])

    @server.tool(description="All of them.")
    def test_multiple_content_types() -> types.CallToolResult:
        resource = _text_resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
        text = types.TextContent(type="text", text="Multiple content types test:")
        return types.CallToolResult(content=[text, image, resource])

    @server.tool(description="Always fails.")
    def test_error_handling() -> types.CallToolResult:
        failed = _said("This tool intentionally returns an error for testing")
        return failed.model_copy(update={"is_error": True})


def _speaking_to_the_client(server: MCPServer) -> None:
    @server.tool(description="Tells what it does.")
    async def test_tool_with_logging(ctx: Context) -> types.CallToolResult:
        for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.info(said)  # pyright: ignore[reportDeprecated]
            await asyncio.sleep(0.05)
        return _said("It told what it did.")

    @server.tool(description="Tells nothing to a client that asked for no level.")
    async def test_logging_tool(ctx: Context) -> types.CallToolResult:
        await ctx.info("Only for those who asked")  # pyright: ignore[reportDeprecated]
        return _said("It told what it did.")

    @server.tool(description="Tells how far it is.")
    async def test_tool_with_progress(ctx: Context) -> types.CallToolResult:
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100)
            await asyncio.sleep(0.05)
        return _said("It told how far it was.")

    @server.tool(description="Asks the client's model.")
    async def test_sampling(prompt: str, ctx: Context) -> types.CallToolResult:
        message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
        answer = await ctx.session.create_message(  # pyright: ignore[reportDeprecated]
            [message], max_tokens=100, related_request_id=ctx.request_id
        )
        return _said(f"LLM response: {answer.content}")

    async def ask(ctx: Context, message: str, schema: dict[str, Any]) -> types.ElicitResult:
        return await ctx.session.elicit(message, schema, related_request_id=ctx.request_id)

    @server.tool(description="Asks the person.")
    async def test_elicitation(message: str, ctx: Context) -> types.CallToolResult:
        answer = await ask(ctx, message, _asks_for("username", "email"))
        return _said(f"User response: action: {answer.action}, content: {answer.content}")

    @server.tool(description="Asks the person, with every kind of default.")
    async def test_elicitation_sep1034_defaults(ctx: Context) -> types.CallToolResult:
        properties = {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
            "verified": {"type": "boolean", "default": True},
        }
        answer = await ask(ctx, "Who are you?", {"type": "object", "properties": properties})
        return _said(f"Elicitation completed: action={answer.action}, content={answer.content}")

    @server.tool(description="Asks the person, with every kind of choice.")
    async def test_elicitation_sep1330_enums(ctx: Context) -> types.CallToolResult:
        options = ["option1", "option2", "option3"]
        titled = [
            {"const": f"value{i}", "title": f"{word} Option"} for i, word in enumerate(("First", "Second", "Third"), 1)
        ]
        legacy = ["opt1", "opt2", "opt3"]
        properties = {
            "untitledSingle": {"type": "string", "enum": options},
            "titledSingle": {"type": "string", "oneOf": titled},
            "legacyEnum": {
                "type": "string",
                "enum": legacy,
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
            "titledMulti": {"type": "array", "items": {"anyOf": titled}},
        }
        answer = await ask(ctx, "What do you choose?", {"type": "object", "properties": properties})
        return _said(f"Elicitation completed: action={answer.action}, content={answer.content}")


def _asks_for(*names: str, kind: str = "string") -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": kind} for name in names}, "required": list(names)}


def _elicit(message: str, name: str, kind: str = "string") -> types.ElicitRequest:
    schema = _asks_for(name, kind=kind)
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def _sample(question: str, tokens: int) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=question))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=tokens))


def _required(requests: Mapping[str, Any], state: str | None = None) -> types.InputRequiredResult:
    return types.InputRequiredResult(input_requests=dict(requests), request_state=state)


def _answers(ctx: Context, *names: str) -> list[Any] | None:
    """The client's answers of these names, if all are there."""
    given = cast("Mapping[str, Any]", ctx.input_responses or {})
    return [given[name] for name in names] if all(name in given for name in names) else None


def _input_required(server: MCPServer) -> None:
    """SEP-2322: what a tool needs, it says in its answer, and is called again with it."""
    name_asked = {"user_name": _elicit("What is your name?", "name")}

    @server.tool(description="Needs a name.")
    def test_input_required_result_elicitation(ctx: Context) -> Asked:
        match _answers(ctx, "user_name"):
            case [types.ElicitResult(action="accept", content={"name": name})]:
                return _said(f"Hello, {name}!")
            case _:
                return _required(name_asked)

    @server.tool(description="Needs a model.")
    def test_input_required_result_sampling(ctx: Context) -> Asked:
        answers = _answers(ctx, "capital_question")
        if answers is None:
            return _required({"capital_question": _sample("What is the capital of France?", 100)})
        return _said(f"The model says: {answers[0].content}")

    @server.tool(description="Needs the roots.")
    def test_input_required_result_list_roots(ctx: Context) -> Asked:
        answers = _answers(ctx, "client_roots")
        if answers is None:
            return _required({"client_roots": types.ListRootsRequest()})
        return _said(f"The roots: {[str(root.uri) for root in answers[0].roots]}")

    @server.tool(description="Keeps a state in between.")
    def test_input_required_result_request_state(ctx: Context) -> Asked:
        if ctx.request_state == "asked" and _answers(ctx, "confirm") is not None:
            return _said("state-ok")
        return _required({"confirm": _elicit("Please confirm", "ok", "boolean")}, "asked")

    @server.tool(description="Keeps a state that nobody may change.")
    def test_input_required_result_tampered_state(ctx: Context) -> Asked:
        return test_input_required_result_request_state(ctx)

    @server.tool(description="Needs three things.")
    def test_input_required_result_multiple_inputs(ctx: Context) -> Asked:
        if _answers(ctx, "user_name", "greeting", "client_roots") is not None and ctx.request_state == "asked":
            return _said("All of it is here.")
        more = {"greeting": _sample("Generate a greeting", 50), "client_roots": types.ListRootsRequest()}
        return _required({**name_asked, **more}, "asked")

    @server.tool(description="Needs one thing after another.")
    def test_input_required_result_multi_round(ctx: Context) -> Asked:
        match ctx.request_state:
            case "first" if _answers(ctx, "step1") is not None:
                return _required({"step2": _elicit("Step 2: What is your favorite color?", "color")}, "second")
            case "second" if _answers(ctx, "step2") is not None:
                return _said("Both are here.")
            case _:
                return _required({"step1": _elicit("Step 1: What is your name?", "name")}, "first")

    @server.tool(description="Asks only for what the client can give.")
    def test_input_required_result_capabilities(ctx: Context) -> Asked:
        can = ctx.client_capabilities
        requests: dict[str, Any] = {}
        if can is not None and can.sampling is not None:
            requests["capital_question"] = _sample("What is the capital of France?", 100)
        if can is not None and can.elicitation is not None:
            requests |= name_asked
        if not requests or _answers(ctx, *requests) is not None:
            return _said("Nothing is missing.")
        return _required(requests)

    @server.tool(description="Needs a client that samples.")
    def test_missing_capability(ctx: Context) -> types.CallToolResult:
        if ctx.client_capabilities is None or ctx.client_capabilities.sampling is None:
            needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "this tool needs sampling", needed)
        return _said("The client samples.")

    @server.tool(description="Asks while it streams.")
    async def test_streaming_elicitation(ctx: Context) -> Asked:
        await ctx.report_progress(1, 2)
        return test_input_required_result_elicitation(ctx)


def _schemas(server: MCPServer) -> None:
    def rich() -> types.CallToolResult:
        return _said("ok")

    tool = Tool.from_function(rich, name="json_schema_2020_12_tool", description="Has a schema with everything.")
    server._tool_manager._tools[tool.name] = tool.model_copy(  # pyright: ignore[reportPrivateUsage]
        update={"parameters": RICH_SCHEMA}
    )

    def mirrored(region: str) -> types.CallToolResult:
        return _said(region)

    tool = Tool.from_function(mirrored, name="test_mirrored_header", description="Has an argument in a header too.")
    schema = {**_asks_for("region")}
    schema["properties"]["region"]["x-mcp-header"] = "Region"
    server._tool_manager._tools[tool.name] = tool.model_copy(  # pyright: ignore[reportPrivateUsage]
        update={"parameters": schema}
    )


def _resources(server: MCPServer) -> None:
    @server.resource("test://static-text", name="text", description="Text.", mime_type="text/plain")
    def text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", name="image", description="An image.", mime_type="image/png")
    def image() -> bytes:
        return PNG.encode()

    @server.resource("test://template/{id}/data", name="template", description="By id.", mime_type="application/json")
    def template(id: str) -> str:
        return f'{{"id":"{id}","templateTest":true,"data":"Data for ID: {id}"}}'

    @server.resource("test://watched-resource", name="watched", description="Text.", mime_type="text/plain")
    def watched() -> str:
        return "Watched."

    @server.completion()
    async def complete(ref: object, argument: types.CompletionArgument, context: object) -> types.Completion:
        values = [word for word in ("paris", "park", "party") if word.startswith(argument.value)]
        return types.Completion(values=values, total=len(values), has_more=False)


def _prompts(server: MCPServer) -> None:
    @server.prompt(description="Text.")
    def test_simple_prompt() -> str:
        return "This is a simple prompt for testing."

    @server.prompt(description="Text with arguments.")
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt(description="A resource.")
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
        resource = _text_resource(resourceUri, "text/plain", "Embedded resource content for testing.")
        return [UserMessage(resource), UserMessage("Please process the embedded resource above.")]

    @server.prompt(description="An image.")
    def test_prompt_with_image() -> list[UserMessage]:
        image = types.ImageContent(type="image", data=PNG, mime_type="image/png")
        return [UserMessage(image), UserMessage("Please analyze the image above.")]

    @server.prompt(description="Needs a context.")
    def test_input_required_result_prompt(ctx: Context) -> str | types.InputRequiredResult:
        match _answers(ctx, "user_context"):
            case [types.ElicitResult(content={"context": context})]:
                return f"In the context of {context}."
            case _:
                return _required({"user_context": _elicit("What context should the prompt use?", "context")})
