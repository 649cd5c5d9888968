"""The axis of a story: time as it was worked, with the waits between cut short."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from .parts import Step

__all__ = ["Axis", "worked"]

IDLE_SHARE = 0.06
"""Time in which no step was at work is drawn at most this long, as a share of all the work."""


def worked(step: Step, last: int) -> list[tuple[int, int]]:
    """From when to when a step was at work, up to `last`: not while it waited for somebody or something."""
    if step.what == "wait" and step.waits_for != "child":  # while it waits for a child, the child works
        return []
    waits = [*step.waited, *([] if step.waits_since is None else [(step.waits_since, step.ended or last)])]
    found: list[tuple[int, int]] = []
    at = step.began
    for start, end in waits:
        if start > at:
            found.append((at, start))
        at = max(at, end)
    if (end := step.ended or last) > at or not waits:
        found.append((at, max(end, at)))
    return found


@dataclass(frozen=True)
class Axis:
    """Time to columns, with the idle stretches cut short. `marks` are (time, position)."""

    marks: tuple[tuple[int, float], ...]

    @classmethod
    def of(cls, steps: Sequence[Step], began: int, last: int) -> Axis:
        """The axis of a story from `began` to `last` (microseconds)."""
        busy = _merged([span for step in steps for span in worked(step, last)])
        work = sum(end - start for start, end in busy)
        cap = max(work * IDLE_SHARE, 1.0)
        at, position = began, 0.0
        marks = [(at, position)]
        for start, end in busy:
            position += min(max(start - at, 0), cap)
            marks.append((start, position))
            position += end - start
            marks.append((end, position))
            at = end
        position += min(max(last - at, 0), cap)
        marks.append((max(last, at), position))
        return cls(tuple(marks))

    def position(self, at: int) -> float:
        """Where a time lies, from 0 to 1."""
        total = self.marks[-1][1] or 1.0
        i = bisect_left(self._times, at)
        if i == 0:
            return 0.0
        if i == len(self.marks):
            return 1.0
        (t0, p0), (t1, p1) = self.marks[i - 1], self.marks[i]
        return max(0.0, p0 + (at - t0) / (t1 - t0) * (p1 - p0)) / total

    @cached_property
    def _times(self) -> list[int]:
        return [at for at, _ in self.marks]

    def time(self, position: float) -> int:
        """What time lies there: the reverse of `position`. In a wait that is cut short it runs fast."""
        wanted = position * (self.marks[-1][1] or 1.0)
        for (t0, p0), (t1, p1) in zip(self.marks, self.marks[1:], strict=False):
            if wanted <= p1:
                return t0 + round((wanted - p0) / (p1 - p0) * (t1 - t0)) if p1 > p0 else t1
        return self.marks[-1][0]

    def gaps(self) -> list[tuple[float, float, int]]:
        """The waits that are cut short: where each begins and ends, from 0 to 1, and how long it was."""
        total = self.marks[-1][1] or 1.0
        return [
            (p0 / total, p1 / total, t1 - t0)
            for (t0, p0), (t1, p1) in zip(self.marks, self.marks[1:], strict=False)
            if t1 - t0 > 2 * (p1 - p0) and t1 - t0 > 1000
        ]


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
