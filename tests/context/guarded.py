"""An MCP server over HTTP that wants to know who asks: tokens of an `OAuthServer`, refused as RFC 6750 and 9728 say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import uvicorn

from perdure.testing import OAuthServer
from tests.faults.processes import until

_who: ContextVar[str] = ContextVar("who", default="nobody")


class Guarded:
    """The server, and what it was shown."""

    def __init__(self, oauth: OAuthServer) -> None:
        from mcp.server import MCPServer

        self.oauth = oauth
        self.url = ""
        self.guard = oauth.url
        """what it says guards it"""
        self.tells: dict[str, Any] = {}
        """of itself, in place of the truth"""
        self.shown: list[str] = []
        """tokens"""
        self.refused: set[str] = set()
        """tokens that it does not take, whatever the OAuth server says"""
        self.needs = {"refund": "write"}
        """the scope that a tool needs beside `read`"""
        self.done: list[str] = []
        server = MCPServer("desk", log_level="ERROR")

        @server.tool()
        def whoami() -> str:
            """Say who asks."""
            self.done.append(f"whoami {_who.get()}")
            return _who.get()

        @server.tool()
        def refund(order: str) -> str:
            """Give money back."""
            self.done.append(f"refund {order} {_who.get()}")
            return "refunded"

        self.inner = server.streamable_http_app()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.inner(scope, receive, send)
        if scope["path"].startswith("/.well-known/oauth-protected-resource"):
            told = {
                "resource": self.url,
                "authorization_servers": [self.guard],
                "scopes_supported": ["read"],
                **self.tells,
            }
            return await _send(send, 200, told)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        token = headers.get("authorization", "").removeprefix("Bearer ")
        self.shown.append(token)
        status, told, _ = self.oauth.answer("GET", "/me", {"Authorization": f"Bearer {token}"}, "") or (
            401,
            {},
            {},
        )
        metadata = (
            f'resource_metadata="{self.url.removesuffix("/mcp")}/.well-known/oauth-protected-resource/mcp"'
        )
        if status != 200 or token in self.refused:
            return await _send(send, 401, {}, f'Bearer error="invalid_token", {metadata}')
        needed = self.needs.get(headers.get("mcp-name", ""), "read")
        if needed not in told["scope"].split():
            challenge = f'Bearer error="insufficient_scope", scope="{needed}", {metadata}'
            return await _send(send, 403, {}, challenge)
        _who.set(told["sub"])
        await self.inner(scope, receive, send)


async def _send(send: Any, status: int, told: Any, challenge: str = "") -> None:
    headers = [(b"content-type", b"application/json")]
    if challenge:
        headers.append((b"www-authenticate", challenge.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


@asynccontextmanager
async def guarded(oauth: OAuthServer) -> AsyncIterator[Guarded]:
    made = Guarded(oauth)
    listener = uvicorn.Server(uvicorn.Config(made, port=0, log_level="error", lifespan="on"))
    task = asyncio.create_task(listener.serve())
    await until(lambda: listener.started, "the server listens")
    made.url = f"http://127.0.0.1:{listener.servers[0].sockets[0].getsockname()[1]}/mcp"
    try:
        yield made
    finally:
        listener.should_exit = True
        await task
