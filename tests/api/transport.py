"""ASGI in this process, as a real server has it: an answer's bytes come as they are sent, and whoever closes is gone.

httpx2's own `ASGITransport` waits for the end of an answer, which a stream of events has not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx2

Message = MutableMapping[str, Any]


class _Body(httpx2.AsyncByteStream):
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._exchange.sent.get()
            if message is None:
                return
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body"):
                return

    async def aclose(self) -> None:
        await self._exchange.close()


class Exchange:
    """One request and its answer."""

    def __init__(self, app: Any, scope: Message, body: bytes) -> None:
        self.sent: asyncio.Queue[Message | None] = asyncio.Queue()
        self._body: bytes | None = body
        self._gone = asyncio.Event()
        self._task = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: Any, scope: Message) -> None:
        try:
            await app(scope, self._receive, self.sent.put)
        finally:
            await self.sent.put(None)

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def close(self) -> None:
        self._gone.set()
        await self._task


class StreamingTransport(httpx2.AsyncBaseTransport):
    """Requests to an ASGI application."""

    def __init__(self, app: Any, *, peer: str = "127.0.0.1") -> None:
        self._app = app
        self._peer = peer

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        scope: Message = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.partition(b"?")[0],
            "query_string": request.url.query,
            "server": (request.url.host, request.url.port or 80),
            "client": (self._peer, 50_000),
            "root_path": "",
        }
        exchange = Exchange(self._app, scope, await request.aread())
        start = await exchange.sent.get()
        if start is None:
            await exchange.close()
            raise AssertionError("the application ended without an answer")
        return httpx2.Response(start["status"], headers=start["headers"], stream=_Body(exchange))
