"""A story drawn: a row for each step, a bar where it lies in time, waits compressed."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...views.story import Axis, Shift, Step, Story
from ...views.words import one_line, safe, short_span, span
from .boundary import step_cost
from .screen import glyph, listing

__all__ = ["timeline"]

_STYLE = {
    "ok": "green",
    "failed": "red",
    "doubt": "yellow",
    "waiting": "yellow",
    "running": "cyan",
    "stopped": "magenta",
    "overcome": "yellow",
}

FEW, MANY = 20, 200
"""Of a longer story than MANY, the first FEW and the last MANY - FEW steps are shown."""


def timeline(story: Story, on: Console, *, now: int) -> Table:
    """The steps of a story as a table that fits the console's width."""
    steps = list(story.steps.values())
    shown = steps if len(steps) <= MANY else [*steps[:FEW], *steps[FEW - MANY :]]
    last = max([story.last, *(now for s in steps if s.ended is None and s.state == "running")], default=now)
    axis = Axis.of(steps, story.began, last)
    drawn = on.width >= 72
    bar = min(max(on.width // 3, 16), 48)
    rows: list[list[Text | str]] = []
    markers = [shift for shift in story.behaviours if shift.changed]
    for i, step in enumerate(shown):
        index = i if i < FEW or len(shown) == len(steps) else i + len(steps) - len(shown)
        while markers and markers[0].steps <= index:
            rows.append(_marker(markers.pop(0), story, on, drawn=drawn))
        if len(shown) < len(steps) and i == FEW:
            rows.append(
                ["", Text(f"… {len(steps) - len(shown)} more", style="dim"), *[""] * (4 if drawn else 3)]
            )
        style = _STYLE[step.state]
        until = step.ended if step.ended is not None else now
        rows.append(
            [
                Text(glyph(step.state, on), style=style),
                _key(step.key),
                Text("+" + short_span(max(step.began - story.began, 0)), style="dim"),
                *([_bar(step, axis, on, last=last, width=bar, style=style)] if drawn else []),
                Text(_took(step, until), style="" if step.ended is not None else style),
                _note(step),
            ]
        )
    rows += [_marker(shift, story, on, drawn=drawn) for shift in markers]
    headings = ("", "step", "at", *([""] if drawn else []), "took", "")
    last_column = len(headings) - 1
    squeeze = ((last_column, 16), (1, 24), (2, 0), (1, 12))
    return listing(headings, rows, on, squeeze=squeeze, right=(2, 4 if drawn else 3))


def _marker(shift: Shift, story: Story, on: Console, *, drawn: bool) -> list[Text | str]:
    """From here on the run is carried on by something else than before."""
    at = Text("+" + short_span(max(shift.at - story.began, 0)), style="dim")
    what = Text(f"changed: {safe(', '.join(shift.changed))}", style="magenta")
    name = Text("new behaviour", style="magenta italic")
    return [Text(glyph("changed", on), style="magenta"), name, at, *([""] if drawn else []), "", what]


def _key(key: str) -> Text:
    scope, slash, name = safe(key).rpartition("/")
    return Text.assemble((scope + slash, "dim"), name)


def _bar(step: Step, axis: Axis, on: Console, *, last: int, width: int, style: str) -> Text:
    start = round(axis.position(step.began) * (width - 1))
    end = max(round(axis.position(step.ended or last) * (width - 1)), start)
    sign = glyph("wait" if step.what == "wait" or step.state == "doubt" else "bar", on)
    return Text(" " * start + sign * (end - start + 1), style=style, no_wrap=True)


def _took(step: Step, until: int) -> str:
    if step.what == "decision":
        return ""
    took = max(until - step.began, 0)
    return short_span(took) if step.what == "wait" or took > 60_000_000 else span(took)


def _note(step: Step) -> Text:
    note = Text(no_wrap=True, overflow="ellipsis")
    if step.attempts > 1:
        note.append(f"{step.attempts} attempts  ", style="yellow")
    if cost := step_cost(step):
        note.append(f"{cost}  ", style="")
    if step.state == "doubt":
        note.append("in doubt: ", style="yellow")
    elif step.waits_for and step.state == "waiting":
        note.append(
            f"waits for {step.waits_for}: " if step.note else f"waits for {step.waits_for}", style="yellow"
        )
    note.append(one_line(step.note), style="red" if step.state == "failed" else "dim")
    return note
