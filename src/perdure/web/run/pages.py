"""The page of one run: headline, steps in time, and beside them what is asked for of its journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pydantic_core
from starlette.responses import Response

from ...access.callers import Role
from ...access.viewings import Viewings
from ...journal import ENDINGS, Entry, Kind, RunQuery, RunRecord, RunStatus
from ...runtime.progress.records import SERIES_LABEL
from ...views.hearing import Said, being_said
from ...views.standing import standing, tone
from ...views.story import QUIET, Line, Lines, mismatch_text
from ..live import stream
from ..rooms import Page
from ..series.pages import STATES
from ..visit import Visit
from . import steering
from .journal import Journal
from .pane import pane_of
from .waterfall import waterfall

__all__ = ["RUN"]

SHOWS = ("events", "decisions", "step", "children", "data")
"""What can stand beside the steps."""

EVENTS = 200
"""Lines on a page of events."""

MOST_CHILDREN = 200


async def show(visit: Visit) -> Response:
    """`/runs/RUN`: the whole page, or by `HX-Target` one of its parts."""
    journal = await Journal.read(visit.store, visit.run_ref())
    if journal.broken is not None:
        raise journal.broken
    told = await _told(visit, journal)
    if not visit.partial:
        return await visit.page("run/run.html", **told)
    part = "run/_panel.html" if visit.request.headers.get("hx-target") == "panel" else "run/_fresh.html"
    return visit.part(part, **told)


async def _told(visit: Visit, journal: Journal) -> dict[str, Any]:
    query = visit.request.query_params
    record, now = journal.record, visit.store.now()
    shows = query.get("show", "")
    shows = shows if shows in SHOWS else "step" if query.get("step") else "events"
    page = query.get("page", "")
    here = f"/runs/{record.ref.id}"
    steps = waterfall(
        journal.story,
        now=now,
        page=int(page) if page.isdecimal() and len(page) < 6 else None,
        ended=journal.ended,
    )
    payloads = visit.me.sees_payloads
    if shows != "children":
        step = query.get("step") or "" if shows == "step" else ""
        await Viewings(visit.app).saw(visit.me, "step" if step else "entries", (record.ref, step))
    told: dict[str, Any] = {
        "journal": journal,
        "record": record,
        "story": journal.story,
        "payloads": payloads,
        "operator": visit.me.may(Role.OPERATOR),
        # how it ended is told in words of its code, which may be anybody's
        "why": standing(record, now).replace("`runs resume`", "somebody to resume it")
        if payloads or not journal.ended
        else "",
        "steps": steps,
        "shows": shows,
        "step": query.get("step"),
        "here": here,
        "live": None if journal.ended else visit.url(f"{here}/live", seen=_stands(record)),
        "done": steering.DONE.get(query.get("done", "")),
        "quarantined": record.status is RunStatus.QUARANTINED,
        "mismatch": mismatch_text(journal.story.mismatch) if journal.story.mismatch else "",
        "upto": None,
        "said": [],
        "at": {"page": steps.page} if steps.pages > 1 else {},
        "work": _work(journal),
        "item_states": STATES,
    }
    if shows == "events":
        told |= _events(journal, query.get("upto", ""), everything=query.get("all") == "yes")
    elif shows == "step":
        told["pane"] = pane_of(journal, query.get("step") or "")
    elif shows == "children":
        told["children"] = await _children(visit, record)
    return told


def _work(journal: Journal) -> dict[str, str]:
    """The work items of its series that the run was at: what it said of each last, in the words of the page."""
    if SERIES_LABEL not in journal.record.labels:
        return {}
    found: dict[str, str] = {}
    for entry in journal.entries:
        if entry.kind == Kind.PROGRESS and not entry.erased and b'"work"' in entry.payload:
            told: dict[str, Any] = pydantic_core.from_json(entry.payload).get("work") or {}
            if "item" in told and "state" in told:
                state: str = told["state"]
                found[told["item"]] = {"taken": "in_hand", "tried": "half_done"}.get(state, state)
    over = journal.ended
    return {item: "half_done" if over and state == "in_hand" else state for item, state in found.items()}


def _events(journal: Journal, upto: str, *, everything: bool) -> dict[str, Any]:
    """The last events, or those up to an entry."""
    lines = Lines()
    found: list[tuple[Entry, Line]] = []
    for entry in journal.entries:
        line = lines.of(entry)
        if everything or Kind(entry.kind) not in QUIET:
            found.append((entry, line))
    last = int(upto) if upto.isdecimal() and len(upto) < 12 else None
    if last is not None:
        found = [one for one in found if one[0].seq <= last]
    shown = found[-EVENTS:]
    return {
        "events": shown,
        "everything": everything,
        "earlier": shown[0][0].seq - 1 if len(found) > len(shown) else None,
        "upto": last,
    }


@dataclass(frozen=True, slots=True)
class Child:
    """A run below, and how deep."""

    record: RunRecord
    depth: int
    tone: str


async def _children(visit: Visit, top: RunRecord) -> list[Child]:
    """The runs below, each behind its parent."""
    found: list[Child] = []

    async def below(parent: RunRecord, depth: int) -> None:
        query = RunQuery(tenant=parent.ref.tenant, parent=parent.ref.id, limit=MOST_CHILDREN)
        for record in sorted(await visit.store.find(query), key=lambda r: r.created_at):
            if len(found) >= MOST_CHILDREN:
                return
            found.append(Child(record, depth, tone(record.status, record.reasons)))
            await below(record, depth + 1)

    await below(top, 0)
    return found


async def live(visit: Visit) -> Response:
    """`/runs/RUN/live`: says when its journal or its state has changed, and when it has ended."""
    ref = visit.run_ref()
    await visit.run()

    async def look() -> str | None:
        record = await visit.store.get(ref)
        return None if record is None else _stands(record)

    hears = (visit.shell.hearing, ref) if visit.me.sees_payloads else None
    return stream(visit.shell.pulse, look, last=visit.last_seen, hears=hears)


async def saying(visit: Visit) -> Response:
    """`/runs/RUN/saying`: what its models say at this moment, to whoever may see payloads."""
    record = await visit.run()
    said = [] if record.status in ENDINGS or not visit.me.sees_payloads else await _said(visit, record)
    return visit.part("run/_saying.html", here=f"/runs/{record.ref.id}", said=said)


async def _said(visit: Visit, record: RunRecord) -> list[Said]:
    if said := await being_said(visit.store, record.ref):
        await Viewings(visit.app).saw(visit.me, "stream", record.ref)
    return said


def _stands(record: RunRecord) -> str:
    """Differs where there may be something new to see."""
    return f"{record.head}.{record.status}.{record.inbox_seq}"


RUN: tuple[Page, ...] = (
    Page(path="/runs/{run}", handler=show),
    Page(path="/runs/{run}/live", handler=live),
    Page(path="/runs/{run}/saying", handler=saying),
    Page(path="/runs/{run}/cancel", handler=steering.cancel, role=Role.OPERATOR, method="POST"),
    Page(path="/runs/{run}/pause", handler=steering.pause, role=Role.OPERATOR, method="POST"),
    Page(path="/runs/{run}/resume", handler=steering.resume, role=Role.OPERATOR, method="POST"),
    Page(path="/runs/{run}/settle", handler=steering.settle, role=Role.OPERATOR, method="POST"),
)
"""Its pages."""
