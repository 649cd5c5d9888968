"""The shell of every page: templates, navigation, who is here, and what goes wrong told in words."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ..access.callers import Gate
from ..access.entrance import Entrance
from ..core.errors import Forbidden, PerdureError, Unauthenticated
from ..views.hearing import Hearing
from .assets import version as assets_version
from .filters import FILTERS
from .guard import Tokens, nonce_of
from .live import Pulse
from .problems import Problem, problem_of
from .rooms import Page, Room
from .visit import Visit, address

if TYPE_CHECKING:
    from ..app import App

__all__ = ["Shell"]

log = logging.getLogger("perdure.web")

COUNTED_FOR = 3.0
"""Seconds for which the numbers in the navigation are kept: they are asked for by every page."""

_KEYS = (
    (("j", "k"), "the next row, the one before"),
    (("Enter",), "open it"),
    (("Esc",), "back, close, leave a field"),
    (("/",), "search, or filter"),
    (("Ctrl", "K"), "go anywhere, do anything"),
    (("g", "r"), "the runs; g and the first letter of any page"),
    (("?",), "this list"),
)


class Shell:
    """What all rooms share."""

    def __init__(
        self,
        app: App,
        gate: Gate,
        rooms: Sequence[Room],
        *,
        tokens: Tokens | None = None,
        entrance: Entrance | None = None,
    ) -> None:
        self.app = app
        self.gate = gate
        self.rooms = rooms
        self.tokens = tokens or Tokens()
        self.entrance = entrance
        """how people sign in; None: not here"""
        self.pulse = Pulse(app.store)
        self.hearing = Hearing(app.store)
        self._counts: dict[str, tuple[float, dict[str, int]]] = {}
        self._env = Environment(
            loader=PackageLoader("perdure.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._env.filters.update(FILTERS)  # pyright: ignore[reportUnknownMemberType]  # of jinja2
        from .. import __version__

        self._env.globals.update(  # pyright: ignore[reportUnknownMemberType]  # of jinja2
            version=__version__, keys_told=_KEYS
        )

    def render(self, template: str, told: dict[str, Any]) -> str:
        """A template, with all that it is told."""
        return self._env.get_template(template).render(told)

    async def around(self, visit: Visit) -> dict[str, Any]:
        """What a whole page has beside what its handler tells."""
        here = max(
            (r.path for r in self.rooms if visit.request.url.path.startswith(visit.url(r.path))),
            key=len,
            default="",
        )
        return {
            **visit.context(),
            "rooms": self._open_to(visit),
            "here": here,
            "counts": await self._counted(visit),
            "palette": self._palette(visit),
        }

    def _open_to(self, visit: Visit) -> list[Room]:
        """The rooms that they may enter: of the others there is no door to see."""
        return [room for room in self.rooms if visit.me.may(room.pages[0].role)]

    def _palette(self, visit: Visit) -> list[dict[str, str]]:
        found = [
            {"title": r.title, "href": visit.url(r.path), "kind": f"page, g {r.key}"}
            for r in self._open_to(visit)
        ]
        return [
            *found,
            {"title": "Light or dark", "deed": "theme", "kind": "command"},
            {"title": "Times in UTC, or in your zone", "deed": "zone", "kind": "command"},
        ]

    async def _counted(self, visit: Visit) -> dict[str, int]:
        at, counts = self._counts.get(visit.tenant, (0.0, {}))
        if not at or time.monotonic() - at > COUNTED_FOR:
            counts = {r.path: await r.waiting(visit) for r in self.rooms if r.waiting is not None}
            self._counts[visit.tenant] = (time.monotonic(), counts)
        return counts

    # answering --------------------------------------------------------------------------------------------------

    async def answer(self, request: Request, page: Page) -> Response:
        """Ask who it is, whether they may, and the page's handler; whatever goes wrong becomes a page too."""
        me = None
        try:
            await self.app.open()
            me = await self.gate.caller_of(request)
            me.require(page.role)
            visit = Visit(shell=self, request=request, me=me)
            if page.method == "POST":
                form = await request.form()
                given = form.get("csrf") or request.headers.get("x-csrf-token") or ""
                if not isinstance(given, str) or not self.tokens.fits(request, me, given):
                    raise Forbidden(
                        "the form is old, or came from another site: go back, load the page again"
                    )
                visit = Visit(shell=self, request=request, me=me, form=form)
            return await page.handler(visit)
        except Unauthenticated as error:
            return self.problem(request, _with_way_in(request, problem_of(error)))
        except PerdureError as error:
            visit = None if me is None else Visit(shell=self, request=request, me=me)
            return await self._told(request, visit, problem_of(error))
        except Exception:
            log.exception("page %s", request.url.path)
            visit = None if me is None else Visit(shell=self, request=request, me=me)
            return await self._told(request, visit, Problem.unexpected())

    async def _told(self, request: Request, visit: Visit | None, problem: Problem) -> Response:
        if visit is None:
            return self.problem(request, problem)
        try:
            return await visit.page("problem.html", **problem.told(visit.url))
        except Exception:  # the store may be what is wrong: the page about that must not ask it
            return self.problem(request, problem)

    def problem(self, request: Request, problem: Problem) -> Response:
        """The page about what went wrong, for somebody of whom nothing is known, from nothing but this process."""

        def url(path: str) -> str:
            return address(request, path)

        return self.stranger(request, "problem.html", **problem.told(url))

    def stranger(self, request: Request, template: str, *, status: int = 200, **told: Any) -> Response:
        """A page for somebody who has not said who they are."""

        def url(path: str, **query: Any) -> str:
            return address(request, path, query)

        context: dict[str, Any] = {
            "me": None,
            "now": self.app.clock.micros(),
            "nonce": nonce_of(request),
            "url": url,
            "asset": lambda name: url(f"/static/{assets_version()}/{name}"),  # pyright: ignore[reportUnknownLambdaType]
            "rooms": (),
            "counts": {},
            "here": "",
            "status": status,
        }
        return HTMLResponse(self.render(template, {**context, **told}), status_code=status)


def _with_way_in(request: Request, problem: Problem) -> Problem:
    """The same, with a way to sign in that leads back to the page that was asked for."""
    if request.method != "GET":
        return problem
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    to = f"{path}?{request.url.query}" if request.url.query else path
    return replace(problem, back=to)
