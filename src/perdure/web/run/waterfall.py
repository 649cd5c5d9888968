"""The steps of a run in time, as bars: SVG made here, with the waits cut short, a page of steps at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...views.story import Axis, Step, Story, worked
from ...views.words import short_span, span

__all__ = ["PAGE", "Bar", "Waterfall", "waterfall"]

PAGE = 500
"""Steps on a page: 2,000 of them are 620 KB of SVG and take a browser 0.7 s."""

_TONES = {
    "ok": "good",
    "failed": "bad",
    "doubt": "warn",
    "waiting": "warn",
    "running": "live",
    "stopped": "plain",
    "overcome": "warn",
}
_SIGNS = {
    "ok": "done",
    "failed": "failed",
    "doubt": "in doubt",
    "waiting": "waits",
    "running": "under way",
    "stopped": "stopped",
    "overcome": "did not fit",
}

NARROWEST = 0.35
"""Per cent: what takes no time is still seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One step as it is drawn. Places and widths are per cent of the axis, as text."""

    step: Step
    scope: str
    """what stands before its name: `case/turn:2.0/`"""
    name: str
    tone: str
    sign: str
    after: str
    """since the run began"""
    took: str
    line: tuple[str, str]
    """from its beginning to its end, waits included: place and width"""
    work: Sequence[tuple[str, str]]
    """where it was at work"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """A page of bars, and the axis that all pages share."""

    bars: Sequence[Bar]
    ticks: Sequence[tuple[str, str]]
    """place in per cent, and the time since the run began"""
    gaps: Sequence[tuple[str, str, str]]
    """place and width in per cent, and how long it was waited"""
    page: int
    pages: int
    steps: int
    first: int
    """number of the first bar, from 1"""


def waterfall(story: Story, *, now: int, page: int | None = None, ended: bool = False) -> Waterfall:
    """The bars of a story; without `page` those of the last page, where something may be going on."""
    steps = list(story.steps.values())
    pages = max(1, -(-len(steps) // PAGE))
    chosen = min(max(page if page is not None else (1 if ended else pages), 1), pages)
    until = [now for s in steps if s.ended is None and s.state in ("running", "waiting", "doubt")]
    last = max([story.last, *until], default=now)
    axis = Axis.of(steps, story.began, last)
    shown = steps[(chosen - 1) * PAGE : chosen * PAGE]
    return Waterfall(
        bars=[_bar(step, axis, story.began, now=now, last=last) for step in shown],
        ticks=_ticks(axis, story.began) if steps else (),
        gaps=[
            (f"{100 * x0:.2f}", f"{100 * (x1 - x0):.2f}", short_span(took)) for x0, x1, took in axis.gaps()
        ][:60],
        page=chosen,
        pages=pages,
        steps=len(steps),
        first=(chosen - 1) * PAGE + 1,
    )


def _bar(step: Step, axis: Axis, began: int, *, now: int, last: int) -> Bar:
    scope, slash, name = step.key.rpartition("/")
    until = step.ended if step.ended is not None else now
    took = max(until - step.began, 0)
    return Bar(
        step=step,
        scope=scope + slash,
        name=name,
        tone=_TONES.get(step.state, "plain"),
        sign=_SIGNS.get(step.state, step.state),
        after=short_span(max(step.began - began, 0)),
        took="" if step.what == "decision" else short_span(took) if took > 60_000_000 else span(took),
        line=_placed(axis, step.began, step.ended if step.ended is not None else last),
        work=[_placed(axis, start, end) for start, end in worked(step, last)],
    )


def _placed(axis: Axis, start: int, end: int) -> tuple[str, str]:
    x = 100 * axis.position(start)
    width = max(100 * axis.position(end) - x, NARROWEST)
    return f"{min(x, 100 - width):.2f}", f"{width:.2f}"


def _ticks(axis: Axis, began: int) -> list[tuple[str, str]]:
    places = (0.0, 0.25, 0.5, 0.75)
    return [(f"{100 * place:.0f}", _since(axis.time(place) - began)) for place in places]


def _since(micros: int) -> str:
    return "0" if micros <= 0 else "+" + short_span(micros)
