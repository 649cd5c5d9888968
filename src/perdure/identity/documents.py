"""What a trust domain publishes, as a small ASGI application: mounted by a server, or served by itself.

    app = Documents(Broker.open(settings))          # uvicorn module:app

Anybody may read it: both documents hold public keys and addresses only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pydantic_core

from .broker import Broker

__all__ = ["Documents"]

KEEP_SECONDS = 300
"""How long a receiver may keep what it has fetched: half the time for which a new key is published before it signs."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Documents:
    """The discovery document and the key set of a broker, at their paths below where it is mounted."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008, "reason": "documents come by HTTP"})
        elif scope["method"] not in ("GET", "HEAD"):
            await _answer(
                send, 405, {"title": "Method Not Allowed", "status": 405}, {"allow": "GET, HEAD"}, body=True
            )
        else:
            path = str(scope["path"]).removeprefix(str(scope.get("root_path", ""))).lstrip("/")
            documents = await asyncio.to_thread(self._broker.documents)  # it reads the keys' files
            found = documents.get(path)
            body = scope["method"] == "GET"
            if found is None:
                await _answer(send, 404, {"title": "Not Found", "status": 404}, {}, body=body)
            else:
                kept = {
                    "cache-control": f"public, max-age={KEEP_SECONDS}",
                    "access-control-allow-origin": "*",
                }
                await _answer(send, 200, found, kept, body=body)


async def _answer(
    send: Send, status: int, told: dict[str, Any], headers: dict[str, str], *, body: bool
) -> None:
    data = pydantic_core.to_json(told)
    kind = "application/json" if status == 200 else "application/problem+json"
    all_headers = {"content-type": kind, "content-length": str(len(data)), **headers}
    started = [(name.encode(), value.encode()) for name, value in all_headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": started})
    await send({"type": "http.response.body", "body": data if body else b""})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
