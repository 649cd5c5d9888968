"""The list of runs: who asks gets the whole page, htmx its table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.responses import Response

from ...journal import RunStatus, WaitReason
from ...views.runs import runs_page
from ..live import stream
from ..rooms import Page, Room
from ..stops import held
from ..visit import Visit
from .filters import SINCE, TABS, Filters
from .rows import Row
from .saved import forget_view, save_view, saved_views

__all__ = ["RUNS"]


async def listing(visit: Visit) -> Response:
    """`/runs`: the newest first, as the address filters them."""
    filters = Filters.of(visit.request.query_params)
    now = visit.store.now()
    before = visit.app.ref(filters.before, visit.tenant) if filters.before else None
    found = await runs_page(visit.store, filters.query(visit.tenant, now=now, before=before))
    rows = [Row.of(run, now, payloads=visit.me.sees_payloads) for run in found.rows]
    told: dict[str, Any] = {
        "filters": filters,
        "rows": rows,
        "next": visit.url("/runs", **filters.told(before=found.next.id)) if found.next else None,
        "cut_short": found.cut_short,
        "first": visit.url("/runs", **filters.told()) if filters.before else None,
        "live": visit.url("/live/runs", seen=visit.store.changes()) if filters.live else None,
        "again": visit.url("/runs", **filters.told(before=filters.before)),
        "tabs": await _tabs(visit, filters, now),
        "chosen": [(name, value, visit.url("/runs", **rest)) for name, value, rest in filters.chosen],
    }
    if visit.partial:
        return visit.part("runs/_listed.html", **told)
    views = await saved_views(visit.store, visit.tenant, visit.me.subject)
    query = urlencode(filters.told(), doseq=True)
    return await visit.page(
        "runs/listing.html",
        **told,
        query=query,
        views=views,
        current=next((view for view in views if _same(view.query, query)), None),
        reasons=tuple(WaitReason),
        statuses=tuple(RunStatus),
        since=SINCE,
        agents=sorted({name for name, _ in visit.app.agents}),
        stopped=await held(visit),
        nothing=not rows and not filters.narrow and not filters.statuses,
    )


async def _tabs(visit: Visit, filters: Filters, now: int) -> list[dict[str, Any]]:
    """Each state with how many there are of it, among what else is asked for.

    All of them are the sum, as no state is in two tabs: to count those is to read every run once more.
    """
    counts = {
        tab.name: await visit.store.count(
            replace(filters, statuses=tab.statuses).counting(visit.tenant, now=now)
        )
        for tab in TABS
        if tab.statuses
    }
    return [
        {
            "name": tab.name,
            "href": visit.url("/runs", **replace(filters, statuses=tab.statuses).told()),
            "count": counts[tab.name] if tab.statuses else sum(counts.values()),
            "current": set(tab.statuses) == set(filters.statuses),
        }
        for tab in TABS
    ]


def _same(one: str, other: str) -> bool:
    return sorted(QueryParams(one).multi_items()) == sorted(QueryParams(other).multi_items())


async def live(visit: Visit) -> Response:
    """`/live/runs`: says when there may be something else to list."""

    async def look() -> str | None:
        return str(visit.store.changes())

    return stream(visit.shell.pulse, look, last=visit.last_seen)


async def save(visit: Visit) -> Response:
    """Keep the filters of the page under a name."""
    filters = Filters.of(QueryParams(visit.given("query")))
    query = urlencode(filters.told(), doseq=True)
    await save_view(visit.store, visit.tenant, visit.me.subject, name=visit.given("name"), query=query)
    return visit.to("/runs", **filters.told())


async def forget(visit: Visit) -> Response:
    """Remove a saved view."""
    await forget_view(visit.store, visit.tenant, visit.me.subject, visit.given("view"))
    return visit.to("/runs")


RUNS = Room(
    title="Runs",
    path="/runs",
    key="r",
    pages=(
        Page(path="/runs", handler=listing),
        Page(path="/live/runs", handler=live),
        Page(path="/views", handler=save, method="POST"),
        Page(path="/views/forget", handler=forget, method="POST"),
    ),
)
"""The list of runs, and what one keeps of it."""
