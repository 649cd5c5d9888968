"""One row of the list, in words: what is not known of a run is None, and shown as not known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from ...journal import ENDINGS, RunStatus
from ...telemetry import RunFigures
from ...views.runs import RunRow
from ...views.standing import Tone, progress_text, tone, waits_for

__all__ = ["Row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A run for the list's template."""

    run: RunRow
    tone: Tone
    why: str
    """what it waits for, or how it ended"""
    goal: str | None
    step: str | None
    progress: str | None
    wall: int
    active: int | None
    figures: RunFigures | None

    @classmethod
    def of(cls, run: RunRow, now: int, *, payloads: bool) -> Self:
        """Of a run. The goal is from its input, which not everybody may see."""
        figures = run.figures
        return cls(
            run=run,
            tone=tone(run.status, run.reasons),
            why=_why(run, payloads=payloads),
            goal=figures.goal if figures is not None and payloads else None,
            step=None if figures is None or run.status in ENDINGS else figures.step,
            progress=_progress(run) if payloads else None,
            wall=run.wall(now),
            active=None if figures is None else figures.active + _goes_on(run, now),
            figures=figures,
        )


def _goes_on(run: RunRow, now: int) -> int:
    """What a worker has held it since its last entry, which nobody has counted yet."""
    return max(0, now - run.updated_at) if run.status is RunStatus.RUNNING else 0


def _why(run: RunRow, *, payloads: bool) -> str:
    if run.status in (RunStatus.WAITING, RunStatus.PENDING):
        found = waits_for(run.status, run.reasons).replace("`runs resume`", "somebody to resume it")
        return f"for {found}" if found else ""
    return "; ".join(run.reasons) if payloads else ""  # how it ended is told in its code's words


def _progress(run: RunRow) -> str | None:
    if run.progress is None or run.status in ENDINGS:
        return None
    told: dict[str, Any] = json.loads(run.progress)
    return progress_text(told)
