"""The one ASGI application: what is at which path, and what every answer carries.

/api/v1/...                  the JSON API, its OpenAPI document at /api/v1/openapi.json
/mcp                         MCP, where the extra `mcp` is installed
/metrics                     what Prometheus scrapes
/.well-known/...             what the trust domain publishes, where the agents have an identity
/...                         the pages
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..access import Gate
from ..access.entrance import Entrance
from ..access.gates import AppGate
from ..access.headers import Headers
from ..access.origins import Hosts
from ..api import Limits, api
from ..api.problems import problem_of, response
from ..app import App
from ..mcp_server import McpDoor, can_serve
from .draining import Draining
from .life import Life
from .metrics import metrics_route

if TYPE_CHECKING:
    from ..identity.documents import Documents

__all__ = ["Application", "asgi", "mcp_asgi"]


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
        self.life.stop()  # first: what is cut off below sees why
        self._draining.stop()


def asgi(
    app: App,
    *,
    gate: Gate | None = None,
    entrance: Entrance | None = None,
    worker: bool = False,
    pages: bool = True,
    key: bytes | None = None,
    hosts: Sequence[str] | None = None,
    limits: Limits | None = None,
    life: Life | None = None,
    lifespan: bool | None = None,
) -> Application:
    """The server of an app as an ASGI application.

    Who may do what, `gate` says; without one the table `[access]` does: there is no server that lets anybody in.
    `entrance` is how people come in at the `pages`. With `worker` it drives runs too. `key` signs the pages' forms: all
    servers of a group need the same. `hosts` are the names under which it answers, None: any.

    `life` is given by whoever lets it live: a host application that mounts this, and enters `Life` in its own lifespan;
    without it, or with `lifespan`, the application's own lifespan does.
    """
    lived = life or Life(app, worker=worker)
    if gate is None:
        gate = AppGate(app)
        entrance = entrance or Entrance(gate)

    @asynccontextmanager
    async def living(_: Starlette) -> AsyncGenerator[None]:
        async with lived:
            yield

    routes: list[BaseRoute] = [
        Mount("/api/v1", app=api(app, gate, watch=lived.watch, hearing=lived.hearing, limits=limits)),
        metrics_route(app, gate),
    ]
    if can_serve():
        door = McpDoor(app, gate, watch=lived.watch, stopping=lambda: lived.stopping)
        lived.also(door)
        routes += door.routes()
    if app.identity_settings.trust_domain is not None:
        routes.append(Route("/.well-known/{name}", _documents(app)))
    if pages:
        from ..web import pages as all_pages

        routes.append(Mount("/", app=all_pages(app, gate, key=key, entrance=entrance)))
    made: ASGIApp = Starlette(
        routes=routes,
        lifespan=living if lifespan or life is None else None,
        exception_handlers={HTTPException: _nowhere},
    )
    return Application(Headers(made if hosts is None else Hosts(made, names=hosts)), lived)


def mcp_asgi(app: App, *, gate: Gate, hosts: Sequence[str], life: Life) -> Application:
    """MCP alone, for `perdure mcp serve --http`: at `/mcp`, as `asgi` has it, and nothing else."""
    door = McpDoor(app, gate, watch=life.watch, stopping=lambda: life.stopping)
    life.also(door)

    @asynccontextmanager
    async def living(_: Starlette) -> AsyncGenerator[None]:
        async with life:
            yield

    made = Starlette(routes=door.routes(), lifespan=living, exception_handlers={HTTPException: _nowhere})
    return Application(Headers(Hosts(made, names=hosts)), life)


async def _nowhere(request: Request, error: Exception) -> Response:
    return response(problem_of(error), request)


def _documents(app: App) -> Documents:
    """What the agents' trust domain publishes."""
    from ..identity.broker import Broker
    from ..identity.documents import Documents

    return Documents(Broker.open(app.identity_settings, clock=app.clock))
