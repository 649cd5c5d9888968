"""Series of runs: how far each goal is, and what is handed on, for readers who see what runs said, or do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..app import App
from ..core.ids import RunRef
from ..runtime.progress import Handover, ItemState, Note, PastRun, WorkItem

__all__ = ["SeriesLine", "SeriesPage", "series_lines", "series_page"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesLine:
    """A series in a list."""

    series: str
    runs: int
    counts: Mapping[str, int]
    """work items by state; each state is there"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPage:
    """One series, as the next run finds it."""

    series: str
    subject: str | None
    number: int
    counts: Mapping[str, int]
    items: Sequence[WorkItem]
    notes: Sequence[Note]
    runs: Sequence[PastRun]
    left_out: Mapping[str, int]
    heard: Sequence[str]
    withheld: bool
    """the reader does not see what runs said: titles, words and evidence are taken out"""
    seen: Sequence[RunRef]
    """runs whose words are shown"""


async def series_lines(
    app: App, *, tenant: str, after: str = "", limit: int = 50
) -> tuple[list[SeriesLine], str | None]:
    """Series by name, and the last name where there are more. Each costs the reading of what its runs recorded."""
    names = [name for name in await app.series(tenant=tenant) if name > after]
    found: list[SeriesLine] = []
    for name in names[:limit]:
        handover = await app.handover(name, tenant=tenant)
        found.append(SeriesLine(series=name, runs=handover.number - 1, counts=_counts(handover)))
    return found, (names[limit - 1] if len(names) > limit else None)


async def series_page(
    app: App,
    series: str,
    *,
    tenant: str,
    payloads: bool,
    subject: str | None = None,
    state: str | None = None,
    limit: int = 1000,
) -> SeriesPage:
    """One series: items of one state or all, at most `limit`. Raises `UnknownRun`."""
    found = await app.handover(series, subject=subject, tenant=tenant)
    items = found.items if state is None else found.of_state(ItemState(state))
    shown = items[:limit]
    more = {"items": len(items) - len(shown)} if len(items) > len(shown) else {}
    ids = {run.id for run in found.runs if run.gone is None} | {note.run for note in found.notes}
    ids |= {run for item in shown for run in item.runs}
    return SeriesPage(
        series=series,
        subject=subject,
        number=found.number,
        counts=_counts(found),
        items=shown if payloads else [_silent(item) for item in shown],
        notes=found.notes if payloads else [note.model_copy(update={"text": ""}) for note in found.notes],
        runs=found.runs
        if payloads
        else [run.model_copy(update={"said": None, "reason": None}) for run in found.runs],
        left_out={**found.left_out, **more},
        heard=found.heard,
        withheld=not payloads,
        seen=[RunRef(tenant, run) for run in sorted(ids)] if payloads else [],
    )


def _counts(handover: Handover) -> dict[str, int]:
    counted = Counter(item.state.value for item in handover.items)
    return {state.value: counted[state.value] for state in ItemState}


def _silent(item: WorkItem) -> WorkItem:
    tried = tuple(each.model_copy(update={"what": "", "why": None, "evidence": None}) for each in item.tried)
    said = {"title": "", "said": None, "why": None, "evidence": None}
    return item.model_copy(update={**said, "tried": tried})
