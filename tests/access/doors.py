"""A small application behind a gate: what tests of the gate knock at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from perdure import App
from perdure.access.gates import AppGate
from perdure.core.errors import AccessRefused, TooManyRequests

URL = "http://127.0.0.1:7000"


class Door:
    """The gate, and a client at it."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.gate = AppGate(app)
        self.asgi = Starlette(routes=[Route("/me", self._me, methods=["GET", "POST"])])
        transport = httpx2.ASGITransport(app=self.asgi, client=("192.0.2.7", 4711))
        self.client = httpx2.AsyncClient(transport=transport, base_url=URL)

    async def _me(self, request: Request) -> JSONResponse:
        try:
            caller = await self.gate.caller_of(request)
        except AccessRefused as refused:
            retry = {"Retry-After": "1"} if isinstance(refused, TooManyRequests) else {}
            return JSONResponse({"detail": str(refused)}, status_code=refused.status, headers=retry)
        return JSONResponse(
            {
                "subject": caller.subject,
                "tenant": caller.tenant,
                "roles": sorted(caller.roles),
                "via": caller.via,
                "grants": sorted(caller.principal.grants),
            }
        )

    async def knock(
        self, method: str = "GET", *, cookie: str | None = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """The status, and what was said."""
        sent: dict[str, str] = {name.replace("_", "-"): value for name, value in headers.items()}
        if cookie is not None:
            sent["cookie"] = f"perdure_session_7000={cookie}"
        answer = await self.client.request(method, "/me", headers=sent)
        return answer.status_code, answer.json()


@asynccontextmanager
async def door(store: str = "memory://", **settings: Mapping[str, Any] | Any) -> AsyncIterator[Door]:
    """An app that is open, behind a gate."""
    app = App(store, **settings)
    await app.open()
    made = Door(app)
    try:
        yield made
    finally:
        await made.client.aclose()
        await app.close()
