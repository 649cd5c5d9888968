"""`/series`: what runs have done of a goal, and what they leave for the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from ..access.viewings import Viewings
from ..client.models import (
    AttemptOut,
    HandoverOut,
    ItemCounts,
    NoteOut,
    Page,
    PastRunOut,
    RunId,
    SeriesOut,
    WorkItemOut,
)
from ..runtime.progress import WorkItem
from ..views.series import SeriesPage, series_lines, series_page
from .callers import TheApp, Viewer
from .routes import GatedRoute

__all__ = ["router"]

router = APIRouter(prefix="/series", tags=["series"], route_class=GatedRoute)

State = Literal["open", "in_hand", "half_done", "done", "failed"]


@router.get("")
async def ls(
    caller: Viewer,
    app: TheApp,
    limit: Annotated[int, Query(ge=1, le=100, description="At most so many.")] = 50,
    after: Annotated[RunId | None, Query(description="`next` of the page before.")] = None,
) -> Page[SeriesOut]:
    """Series of the caller's tenant of which a run has asked for work or a handover, by name."""
    lines, more = await series_lines(app, tenant=caller.tenant, after=after or "", limit=limit)
    return Page[SeriesOut](
        items=[SeriesOut(series=li.series, runs=li.runs, items=_counts(li.counts)) for li in lines],
        next=more,
    )


@router.get("/{series}")
async def show(
    series: RunId,
    caller: Viewer,
    app: TheApp,
    subject: Annotated[
        str | None,
        Query(min_length=1, max_length=200, description="As a run finds it that handles this person's data."),
    ] = None,
    state: Annotated[State | None, Query(description="Only items of this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="At most so many items.")] = 1000,
) -> HandoverOut:
    """What the next run of the series would find, as things stand now. Notes and runs are the last ones."""
    found = await series_page(
        app,
        series,
        tenant=caller.tenant,
        payloads=caller.sees_payloads,
        subject=subject,
        state=state,
        limit=limit,
    )
    await Viewings(app).saw(caller, "entries", *found.seen)
    return _out(found)


def _out(page: SeriesPage) -> HandoverOut:
    return HandoverOut(
        series=page.series,
        subject=page.subject,
        number=page.number,
        counts=_counts(page.counts),
        items=[_item(item, withheld=page.withheld) for item in page.items],
        notes=[
            NoteOut(text=None if page.withheld else note.text, run=note.run, at=note.at)
            for note in page.notes
        ],
        runs=[PastRunOut(run=run.id, **run.model_dump(exclude={"id"})) for run in page.runs],
        left_out=dict(page.left_out),
        heard=list(page.heard),
        withheld=page.withheld,
    )


def _item(item: WorkItem, *, withheld: bool) -> WorkItemOut:
    tried = [
        AttemptOut(
            what=None if withheld else each.what,
            why=each.why,
            evidence=each.evidence,
            run=each.run,
            at=each.at,
        )
        for each in item.tried
    ]
    return WorkItemOut(
        item=item.id,
        title=None if withheld else item.title,
        state=item.state.value,
        said=item.said,
        why=item.why,
        evidence=item.evidence,
        run=item.run,
        at=item.at,
        tried=tried,
        runs=list(item.runs),
    )


def _counts(counts: Mapping[str, int]) -> ItemCounts:
    return ItemCounts.model_validate(dict(counts))
