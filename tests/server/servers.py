"""Real servers on ports of this machine, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2

from perdure import App
from perdure.server import asgi
from perdure.server.serving import Serving
from tests.api.desk import BelievingGate, as_


@asynccontextmanager
async def serving(app: App, *, worker: bool = False) -> AsyncGenerator[tuple[Serving, httpx2.AsyncClient]]:
    server = Serving(asgi(app, gate=BelievingGate(), worker=worker), host="127.0.0.1", port=0)
    url = server.bind()
    ready = asyncio.Event()
    running = asyncio.create_task(server.run(ready.set))
    async with asyncio.timeout(20):
        await ready.wait()
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", headers=as_()) as client:
        yield server, client
    server.stop()
    async with asyncio.timeout(20):
        await running
