"""The fold of a series: PROGRESS entries of its runs, in the order of time, to what a handover holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from ...core.clock import from_micros
from ...journal import ENDINGS, Entry, RunRecord
from .items import Kept
from .records import Attempt, Handover, ItemState, Note, PastRun, WorkItem

__all__ = ["fold"]

MOST_NOTES = 50
MOST_RUNS = 20
MOST_TRIED = 10
"""The last of each."""


@dataclass(slots=True)
class _Work:
    id: str
    title: str = ""
    state: str = "open"
    said: str | None = None
    why: str | None = None
    evidence: Any = None
    run: str | None = None
    at: int | None = None
    tried: list[Attempt] = field(default_factory=list[Attempt])
    runs: list[str] = field(default_factory=list[str])


def fold(
    series: str,
    records: Sequence[RunRecord],
    told: Sequence[tuple[int, Entry]],
    *,
    kept: Mapping[str, Kept],
    subject: str | None,
    number: int,
    but: str | None = None,
    labels: frozenset[str] = frozenset(),
) -> Handover:
    """What the runs `records` (the oldest first) hand over to one that handles `subject`'s data.

    `told` are their PROGRESS entries, with the run's `rid`; `but` is the run that asks: it is none of those before.
    """
    runs = {record.rid: record for record in records}
    by_id = {record.ref.id: record for record in records}
    works: dict[str, _Work] = {}
    notes: list[Note] = []
    said: dict[int, str] = {}
    erased: set[int] = set()
    heard = set(labels)
    for rid, entry in sorted(told, key=lambda each: (each[1].at, each[0], each[1].seq)):
        run = runs[rid]
        if run.subject != subject:
            continue
        if entry.erased:
            erased.add(rid)
            continue
        fields: dict[str, Any] = pydantic_core.from_json(entry.payload)
        work: dict[str, Any] = fields.get("work") or {}
        heard |= set(work.get("heard", ()))
        if work.get("note"):
            notes.append(Note(text=str(fields["what"]), run=run.ref.id, at=from_micros(entry.at)))
        elif "state" not in work or work["state"] != "taken":
            said[rid] = str(fields["what"])
        for item, title in work.get("add", ()):
            made = works.setdefault(item, _Work(item))
            made.title = made.title or title
        if "item" in work:
            _tell(works.setdefault(work["item"], _Work(work["item"])), work, fields, run.ref.id, entry.at)
    for item, cell in kept.items():
        work_item = works.setdefault(item, _Work(item))
        if (work_item.state, work_item.run) != (
            cell.state,
            cell.run,
        ):  # a claim just now, or a journal without words
            if work_item.state != cell.state:
                work_item.why = work_item.evidence = None
            work_item.state, work_item.run, work_item.at = cell.state, cell.run, cell.at
    before = [record for record in records if record.parent is None and record.ref.id != but]
    shown, noted = before[-MOST_RUNS:], notes[-MOST_NOTES:]
    counts = {"notes": len(notes) - len(noted), "runs": len(before) - len(shown)}
    return Handover(
        series=series,
        number=number,
        items=tuple(_item(work, by_id) for work in works.values()),
        notes=tuple(noted),
        runs=tuple(_past(run, subject, said.get(run.rid), run.rid in erased) for run in shown),
        left_out={what: count for what, count in counts.items() if count > 0},
        heard=tuple(sorted(heard)),
    )


def _tell(work: _Work, told: Mapping[str, Any], fields: Mapping[str, Any], run: str, at: int) -> None:
    if run not in work.runs:
        work.runs.append(run)
    what, why, evidence = str(fields["what"]), told.get("why"), told.get("evidence")
    if told["state"] == "tried":
        work.tried.append(Attempt(what=what, why=why, evidence=evidence, run=run, at=from_micros(at)))
        del work.tried[:-MOST_TRIED]
        work.state, work.run, work.at = "half_done", run, at
        return
    work.state, work.run, work.at = told["state"], run, at
    if work.state != "taken":
        work.said, work.why, work.evidence = what, why, evidence


def _item(work: _Work, runs: Mapping[str, RunRecord]) -> WorkItem:
    state, why = work.state, work.why
    if state in ("taken", "half_done"):
        run = runs.get(work.run or "")
        if run is not None and run.status not in ENDINGS:
            state = ItemState.IN_HAND
        else:
            state = ItemState.HALF_DONE
            if why is None and run is not None:
                ended = "; ".join(run.reasons)
                why = f"run `{work.run}` ended {run.status} while it was at it" + (
                    f": {ended}" if ended else ""
                )
    record = runs.get(work.run or "")
    if record is not None and record.pruned_at is not None and work.said is None and why is None:
        why = f"run `{work.run}` was pruned: only that is left of it"
    return WorkItem(
        id=work.id,
        title=work.title,
        state=ItemState(state),
        said=work.said,
        why=why,
        evidence=work.evidence,
        run=work.run,
        at=None if work.at is None else from_micros(work.at),
        tried=tuple(work.tried),
        runs=tuple(work.runs),
    )


def _past(run: RunRecord, subject: str | None, said: str | None, erased: bool) -> PastRun:
    gone = None
    if run.pruned_at is not None:
        gone = "pruned"
    elif run.subject != subject:
        gone = "withheld"
    elif erased and said is None:
        gone = "erased"
    return PastRun(
        id=run.ref.id,
        status=str(run.status),
        reason=("; ".join(run.reasons) or None) if gone is None else None,
        said=said,
        began_at=from_micros(run.created_at),
        ended_at=None if run.ended_at is None else from_micros(run.ended_at),
        gone=gone,
    )
