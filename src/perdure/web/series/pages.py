"""`/series`, and `/series/NAME`: what was done of a goal, what is left, and what the next run will find."""

from __future__ import annotations

from datetime import datetime

from starlette.responses import Response

from ...access.viewings import Viewings
from ...core.errors import ConfigError, UnknownRun
from ...core.ids import check_id
from ...views.series import series_lines, series_page
from ..rooms import Page, Room
from ..visit import Visit

__all__ = ["SERIES", "STATES"]

LINES = 50
ITEMS = 200

STATES = {
    "half_done": ("half done", "warn"),
    "in_hand": ("in hand", "live"),
    "open": ("to do", ""),
    "done": ("done", "good"),
    "failed": ("given up", "bad"),
}
"""In the order of the page: what somebody may have to look at first."""

GONE = {
    "pruned": "its journal was pruned",
    "erased": "its data was erased",
    "withheld": "another person's data",
}


async def ls(visit: Visit) -> Response:
    """All of them."""
    after = visit.given("after")
    lines, more = await series_lines(visit.app, tenant=visit.tenant, after=after, limit=LINES)
    return await visit.page("series/list.html", lines=lines, more=more, after=after)


async def show(visit: Visit) -> Response:
    """One of them; items of one state where `state` says so."""
    name: str = visit.request.path_params["series"]
    try:
        check_id(name, what="a series")
    except ConfigError as error:
        raise UnknownRun(f"no run is of the series `{name[:80]}`") from error
    state = visit.given("state")
    found = await series_page(
        visit.app,
        name,
        tenant=visit.tenant,
        payloads=visit.me.sees_payloads,
        state=state if state in STATES else None,
        limit=ITEMS,
    )
    await Viewings(visit.app).saw(visit.me, "entries", *found.seen)
    return await visit.page(
        "series/series.html", found=found, states=STATES, state=state, gone=GONE, micros=_micros
    )


def _micros(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1_000_000)


SERIES = Room(
    title="Series",
    path="/series",
    key="s",
    pages=(Page(path="/series", handler=ls), Page(path="/series/{series}", handler=show)),
)
"""Goals that many runs work at."""
