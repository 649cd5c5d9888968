"""What a run adds to the tallies: counts by hour, by what was done, and by its name.

A run's parts are kept with it. When it becomes known whether its goal was met, all that it has added is moved from one
outcome to another, and for that one must know what it was.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..journal import BOUNDS, COUNTS, Counts, Grain, RunRecord, TallyKey

__all__ = [
    "DAY_MICROS",
    "HOUR_MICROS",
    "PartKey",
    "Parts",
    "Whose",
    "add_standing",
    "add_tallies",
    "read_parts",
    "told_parts",
]

HOUR_MICROS = 3_600_000_000
"""An hour in microseconds."""

DAY_MICROS = 24 * HOUR_MICROS
"""A day in microseconds."""

PartKey: TypeAlias = tuple[int, str, str]
"""The hour, counted from 1970; what; its name."""

MOST_HOURS = 512
"""Hours of one run that are told apart: of one that works longer, what follows counts in the first hour of its day."""

MOST_NAMES = 400
"""Different names of one run's parts: what is called more counts as `(others)`."""

_MOST_MICROS = 10 * 366 * DAY_MICROS
"""What is said to have taken longer took no longer: sums stay within 64 bits."""

_AT = {name: i for i, name in enumerate(COUNTS)}
_N, _CALLS, _MICROS, _FIRST_BUCKET = _AT["n"], _AT["calls"], _AT["micros"], _AT["h0"]
_WIDTH = len(COUNTS)

_BY_LABEL = frozenset({"run", "model", "step", "human"})
"""What is also counted by label: what is asked by label is what it costs and what comes of it."""


class Parts:
    """Parts that are being added, beside those that were added before."""

    def __init__(self, beside: Iterable[PartKey] = ()) -> None:
        self.counts: dict[PartKey, list[int]] = {}
        self._hours: set[int] = set()
        self._names: set[tuple[str, str]] = set()
        for hour, what, name in beside:
            self._hours.add(hour)
            self._names.add((what, name))

    def add(self, at: int, what: str, name: str, **counts: int) -> None:
        """One more fact at a time, with what it counts."""
        found = self._of(at, what, name)
        found[_N] += 1
        for column, n in counts.items():
            found[_AT[column]] += n

    def timed(self, at: int, what: str, name: str, took: int, **counts: int) -> None:
        """One that took so long: it counts in the histogram, too."""
        took = min(took, _MOST_MICROS)
        self.add(at, what, name, calls=1, micros=took, **counts)
        self._of(at, what, name)[_FIRST_BUCKET + bisect_left(BOUNDS, took)] += 1

    def _of(self, at: int, what: str, name: str) -> list[int]:
        hour = at // HOUR_MICROS
        if hour not in self._hours:
            if len(self._hours) >= MOST_HOURS:
                hour -= hour % 24
            self._hours.add(hour)
        if (what, name) not in self._names:
            if len(self._names) >= MOST_NAMES:
                name = "(others)"
            self._names.add((what, name))
        key = (hour, what, name)
        found = self.counts.get(key)
        if found is None:
            found = self.counts[key] = [0] * _WIDTH
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Whose parts they are."""

    tenant: str
    agent: str
    version: str
    labels: tuple[str, ...]
    """each as JSON: `["key", "value"]`"""

    @classmethod
    def of(cls, run: RunRecord) -> Whose:
        """Of a run, by its row."""
        labels = tuple(json.dumps([key, value]) for key, value in sorted(run.labels.items()))
        return cls(tenant=run.ref.tenant, agent=run.agent, version=run.version, labels=labels)


def add_tallies(
    tallies: dict[TallyKey, list[int]],
    whose: Whose,
    parts: Mapping[PartKey, Counts],
    outcome: str,
    *,
    sign: int = 1,
    hours: bool = True,
) -> None:
    """Add parts to tallies, or take them away (`sign=-1`). `hours`: also to those of hours, which know no outcome."""
    tenant, agent, version = whose.tenant, whose.agent, whose.version
    for (hour, what, name), counts in parts.items():
        day = hour // 24 * DAY_MICROS
        keys = [
            TallyKey(Grain.TOTAL, 0, tenant, agent, version, what, name, outcome, ""),
            TallyKey(Grain.DAY, day, tenant, agent, version, what, name, outcome, ""),
        ]
        if hours:
            at = hour * HOUR_MICROS
            keys.append(TallyKey(Grain.HOUR, at, tenant, agent, version, what, name, "", ""))
        if what in _BY_LABEL:
            short = name if what == "run" else ""
            keys += [
                TallyKey(Grain.DAY, day, tenant, agent, version, what, short, outcome, label)
                for label in whose.labels
            ]
        for key in keys:
            found = tallies.get(key)
            if found is None:
                tallies[key] = [sign * n for n in counts]
            else:
                for i, n in enumerate(counts):
                    if n:
                        found[i] += sign * n


def add_standing(tallies: dict[TallyKey, list[int]], whose: Whose, standing: str, sign: int) -> None:
    """One run more, or less, that stands so: the only tally that goes up and down."""
    key = TallyKey(Grain.TOTAL, 0, whose.tenant, whose.agent, whose.version, "standing", standing, "", "")
    tallies.setdefault(key, [0] * _WIDTH)[_N] += sign


def told_parts(parts: Mapping[PartKey, Counts]) -> list[Any]:
    """As JSON: each with its place and the numbers that are not nothing, in the order of the keys."""
    return [[*key, {str(i): n for i, n in enumerate(counts) if n}] for key, counts in sorted(parts.items())]


def read_parts(told: Iterable[Sequence[Any]]) -> dict[PartKey, list[int]]:
    """The reverse."""
    found: dict[PartKey, list[int]] = {}
    for hour, what, name, sparse in told:
        counts = found[hour, what, name] = [0] * _WIDTH
        for i, n in sparse.items():
            counts[int(i)] = n
    return found
