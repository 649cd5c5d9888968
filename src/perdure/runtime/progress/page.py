"""A handover as a page of Markdown. What runs have said is escaped: a note makes no headings, links or tags."""

from __future__ import annotations

import re
from typing import Any

import pydantic_core

from .records import Handover, ItemState, PastRun, WorkItem

__all__ = ["markdown"]

_SPECIAL = re.compile(r"[\\`*\[\]<>]")

LONGEST = 300
"""Characters of one text on the page."""

_HEADINGS = {
    ItemState.DONE: "Done",
    ItemState.HALF_DONE: "Half done",
    ItemState.IN_HAND: "In hand",
    ItemState.OPEN: "To do",
    ItemState.FAILED: "Given up",
}

_GONE = {
    "pruned": "its journal was pruned: only the states of items are left of it",
    "erased": "its data was erased",
    "withheld": "it handles another person's data, so its notes are not told here",
}


def markdown(handover: Handover) -> str:
    """The page."""
    counts = ", ".join(
        f"{len(found)} {heading.lower()}"
        for state, heading in _HEADINGS.items()
        if (found := handover.of_state(state))
    )
    lines = [f"# Series {text(handover.series)}", "", f"{counts or 'No items yet'}."]
    for state, heading in _HEADINGS.items():
        if found := handover.of_state(state):
            lines += ["", f"## {heading}", ""]
            for item in found:
                lines += _item(item)
    if handover.notes:
        lines += ["", "## Notes", ""]
        lines += [f"- {text(note.text)} ({_when(note.at)}, {note.run})" for note in handover.notes]
    if handover.runs:
        lines += ["", "## Runs", ""]
        lines += [_run(run) for run in handover.runs]
    if handover.left_out:
        more = ", ".join(f"{count} older {what}" for what, count in handover.left_out.items())
        lines += ["", f"Not shown: {more}."]
    return "\n".join(lines) + "\n"


def text(value: Any) -> str:
    """A text of a run in one line, escaped and bounded."""
    plain = value if isinstance(value, str) else pydantic_core.to_json(value, fallback=repr).decode()
    line = "".join(c if c.isprintable() else " " for c in " ".join(plain.split()))
    line = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", line)


def _item(item: WorkItem) -> list[str]:
    title = f": {text(item.title)}" if item.title and item.title != item.id else ""
    lines = [f"- **{text(item.id)}**{title}" + (f" ({item.run})" if item.run else "")]
    for what, value in (("said", item.said), ("why", item.why), ("evidence", item.evidence)):
        if value is not None:
            lines.append(f"  - {what}: {text(value)}")
    for attempt in item.tried:
        why = "" if attempt.why is None else f": {text(attempt.why)}"
        evidence = "" if attempt.evidence is None else f"; {text(attempt.evidence)}"
        lines.append(f"  - tried in vain: {text(attempt.what)}{why}{evidence} ({attempt.run})")
    return lines


def _run(run: PastRun) -> str:
    told = f"- {_when(run.began_at)} {run.id}: {run.status}"
    for said in (run.reason, run.said):
        if said:
            told += f"; {text(said)}"
    return told + (f"; {_GONE.get(run.gone, run.gone)}" if run.gone else "")


def _when(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"
