"""The MCP SDK with one tool and nothing else, served as ``clawbench up`` serves: ``python -m benchmarks.bare PORT``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncGenerator
from typing import Any

import mcp_types as types
import uvicorn
import uvloop
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.routing import Route


async def _whoami(ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams) -> types.CallToolResult:
    del ctx, params
    said = types.TextContent(type="text", text='{"agent":"nobody","scopes":["read","run"]}')
    return types.CallToolResult(content=[said], structured_content={"agent": "nobody", "scopes": ["read", "run"]})


def main() -> None:
    port = int(sys.argv[1])
    door = StreamableHTTPSessionManager(app=Server("bare", on_call_tool=_whoami), stateless=True, json_response=True)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        del app
        async with door.run():
            yield

    app = Starlette(routes=[Route("/mcp", door.asgi_app)], lifespan=lifespan)
    config = uvicorn.Config(
        app, port=port, loop="none", http="httptools", ws="none", log_level="warning", access_log=False
    )
    uvloop.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
