"""How a run has ended and what became of it, for people: what is missing, what was tried, who knows, was it right."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ...views.story import Story, as_object, escalation_text, outcome_text
from ...views.words import ago, one_line, pretty, safe
from .boundary import spent_text

__all__ = ["show_ending", "show_outcomes"]

_TRIED = (
    ("failed", "failed", ("step", "error")),
    ("done", "done", ("step", "tool", "arguments", "result")),
    ("in_doubt", "in doubt", ("step", "tool", "arguments")),
    ("decided", "decided", ("step", "choice", "reason")),
)


def show_ending(out: Console, story: Story, status: str) -> None:
    """What a run that ended partial or escalated says of it, and what its check and its undoing came to."""
    told = story.ending or {}
    rows: list[tuple[str, Text]] = []
    if told.get("why"):
        rows.append(("why", Text(safe(str(told["why"]), lines=True))))
    rows += [("missing", Text(safe(str(missing)))) for missing in told.get("missing") or ()]
    if told.get("context") is not None:
        rows.append(("context", Text(pretty(told["context"], indent=2, limit=5_000))))
    rows += _checked(as_object(told.get("check")))
    undone = as_object(told.get("undone"))
    rows += [("undone", Text(safe(str(step)))) for step in undone.get("done") or ()]
    for left in undone.get("left") or ():
        item = as_object(left)
        rows.append(("not undone", Text(safe(f"{item.get('step')}: {item.get('error')}"), style="red")))
    rows += _tried(as_object(told.get("tried")))
    for step in told.get("degraded") or ():
        item = as_object(step)
        rows.append(("not live", Text(safe(f"{item.get('step')}: {item.get('source')}, {item.get('by')}"))))
    if rows:
        out.print()
        out.print(Text(status.capitalize(), style="bold yellow" if status != "succeeded" else "bold"))
        _grid(out, rows)


def _checked(check: dict[str, Any]) -> list[tuple[str, Text]]:
    if not check:
        return []
    word = "passed" if check.get("passed") else "did not pass"
    after = ", after one repair" if check.get("repaired") else ""
    why = f": {check['why']}" if check.get("why") else ""
    rows = [("check", Text(safe(f"{word}{after}{why}"), style="" if check.get("passed") else "red"))]
    for part, amount in as_object(check.get("spent")).items():
        rows.append((f"{part} cost", Text(spent_text(as_object(amount)))))
    return rows


def _tried(tried: dict[str, Any]) -> list[tuple[str, Text]]:
    rows: list[tuple[str, Text]] = []
    left = as_object(tried.get("left_out"))
    for name, title, parts in _TRIED:
        for found in tried.get(name) or ():
            item = as_object(found)
            text = "  ".join(str(item[part]) for part in parts if item.get(part))
            rows.append((title, Text(one_line(text), style="red" if name == "in_doubt" else "")))
        if left.get(name):
            rows.append((title, Text(f"and {left[name]} more", style="dim")))
    return rows


def show_outcomes(out: Console, story: Story, *, now: int) -> None:
    """Whom the run was handed to, and what came of it."""
    if story.escalations:
        out.print()
        out.print(Text("Escalation", style="bold"))
        _grid(out, [(ago(e["at"], now), Text(escalation_text(e))) for e in story.escalations])
    if story.outcomes:
        out.print()
        out.print(Text("Outcome", style="bold"))
        _grid(out, [(ago(o["at"], now), Text(outcome_text(o))) for o in story.outcomes])


def _grid(out: Console, rows: list[tuple[str, Text]]) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    last = None
    for name, text in rows:
        grid.add_row("" if name == last else name, text)
        last = name
    out.print(Padding(grid, (0, 0, 0, 2), expand=False))
