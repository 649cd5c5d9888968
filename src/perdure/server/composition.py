"""The one ASGI application: what is at which path, and what every answer carries.

/api/v1/...                  the JSON API, its OpenAPI document at /api/v1/openapi.json
/.well-known/...             what the trust domain publishes, where the agents have an identity
/...                         the pages
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from ..access import Gate
from ..api import Limits, api
from ..app import App
from .draining import Draining
from .life import Life

__all__ = ["Application", "asgi"]


class Application:
    """The server as an ASGI application."""

    def __init__(self, app: ASGIApp, life: Life) -> None:
        self._draining = Draining(app)
        self.life = life

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, or the lifespan."""
        await self._draining(scope, receive, send)

    def stop(self) -> None:
        """Begin to stop, before the last request is answered: streams end, the worker claims no more."""
        self._draining.stop()
        self.life.stop()


def asgi(
    app: App,
    *,
    gate: Gate,
    worker: bool = False,
    limits: Limits | None = None,
    pages: Sequence[BaseRoute] = (),
    life: Life | None = None,
    lifespan: bool | None = None,
) -> Application:
    """The server of an app as an ASGI application. Who may do what, `gate` says: there is no server without one.

    With `worker` it drives runs too. `life` is given by whoever lets it live: a host application that mounts this, and
    enters `Life` in its own lifespan; without it, or with `lifespan`, the application's own lifespan does.
    """
    lived = life or Life(app, worker=worker)

    @asynccontextmanager
    async def living(_: Starlette) -> AsyncGenerator[None]:
        async with lived:
            yield

    routes: list[BaseRoute] = [
        Mount("/api/v1", app=api(app, gate, watch=lived.watch, limits=limits)),
        *pages,
    ]
    return Application(Starlette(routes=routes, lifespan=living if lifespan or life is None else None), lived)
