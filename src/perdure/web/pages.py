"""The dashboard as one ASGI application: all rooms, their addresses, the static files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from ..access.callers import Gate
from ..access.entrance import Entrance
from .agents import AGENTS
from .alerts import ALERTS
from .approvals import APPROVALS
from .approvals.by_link import link_routes
from .assets import Assets
from .audit import AUDIT
from .cost import COST
from .guard import Tokens, guard
from .health import HEALTH
from .memory import MEMORY
from .passkeys import PASSKEYS
from .problems import Problem
from .rooms import Page, Room
from .run import RUN
from .runs import RUNS
from .series import SERIES
from .shell import Shell
from .sign_in import TERMINAL, sign_in_routes
from .stops import STOPS
from .visit import address

if TYPE_CHECKING:
    from ..app import App

__all__ = ["ROOMS", "pages"]

ROOMS: Sequence[Room] = (RUNS, APPROVALS, SERIES, COST, AGENTS, MEMORY, AUDIT, HEALTH)
"""In the order of the navigation."""

ELSEWHERE: Sequence[Page] = (*RUN, *PASSKEYS, *TERMINAL, *STOPS, *ALERTS)
"""Pages of nouns that are reached through another room."""


def pages(
    app: App,
    gate: Gate,
    *,
    key: bytes | None = None,
    rooms: Sequence[Room] = ROOMS,
    entrance: Entrance | None = None,
) -> Starlette:
    """The pages of an app's runs, for whom the gate knows; to be mounted at `/` or anywhere else.

    `key` signs the tokens of forms: one that all servers of a group share, or None for one of this process's own.
    `entrance` is how people come in; without one somebody else's pages are for that.
    """
    shell = Shell(app, gate, rooms, tokens=Tokens(key), entrance=entrance)

    def routed(page: Page) -> Route:
        async def endpoint(request: Request) -> Response:
            return await shell.answer(request, page)

        return Route(page.path, endpoint, methods=[page.method], name=page.path)

    async def first(request: Request) -> Response:
        return RedirectResponse(address(request, rooms[0].path), status_code=307)

    async def nowhere(request: Request) -> Response:
        gone = Problem(status=404, title="Nothing here", why="There is no page at this address.")
        return shell.problem(request, gone)

    routes: list[BaseRoute] = [
        Mount("/static", Assets()),
        Route("/", first),
        *(routed(page) for room in rooms for page in room.pages),
        *(routed(page) for page in ELSEWHERE),
        *link_routes(shell),
        *([] if entrance is None else sign_in_routes(shell, entrance)),
        Route("/{anything:path}", nowhere),
    ]
    return Starlette(routes=routes, middleware=[guard()])
