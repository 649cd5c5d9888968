"""What came of a torture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ...journal import RunStatus
from .invariants import INVARIANTS, Violation
from .schedule import KINDS, Schedule

__all__ = ["Count", "Report", "Row"]

ORDER = ("none", "kill", "twice", *(kind for kind in KINDS if kind != "kill"))


@dataclass(frozen=True, slots=True)
class Row:
    """One schedule, tried."""

    schedule: Schedule
    reached: bool
    """whether all of its faults struck; the run may have gone another way"""
    violations: list[Violation]
    doubts: int
    ending: RunStatus


@dataclass(slots=True)
class Count:
    """The schedules of one kind."""

    kind: str
    schedules: int = 0
    passed: int = 0
    not_reached: int = 0
    """of those that passed, how many had a fault that did not strike"""
    doubts: int = 0
    """writes in doubt that a human would have been asked about"""
    violations: int = 0


@dataclass(slots=True)
class Report:
    """All schedules that were tried, and what did not hold."""

    agent: str
    store: str
    random: int | None = None
    seed: int = 0
    boundaries: int = 0
    """places in the journal of the run that was left alone: two for each append"""
    alone: str = ""
    """how the run ended that was left alone, where it did not succeed"""
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list[Row])
    smallest: dict[str, Violation] = field(default_factory=dict[str, Violation])
    """of each invariant that was violated, the smallest schedule that shows it"""

    def add(self, row: Row) -> None:
        """One more."""
        self.rows.append(row)

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not any(row.violations for row in self.rows)

    @property
    def violations(self) -> list[Violation]:
        """All of them."""
        return [violation for row in self.rows for violation in row.violations]

    def by_invariant(self) -> dict[str, list[Violation]]:
        """The violations by the name of what did not hold."""
        found: dict[str, list[Violation]] = {}
        for name in INVARIANTS:
            those = [v for v in self.violations if v.invariant == name]
            if those:
                found[name] = those
        return found

    def counts(self) -> list[Count]:
        """By kind of schedule."""
        counts: dict[str, Count] = {}
        for row in self.rows:
            count = counts.setdefault(row.schedule.kind, Count(row.schedule.kind))
            count.schedules += 1
            count.passed += not row.violations
            count.not_reached += not row.violations and not row.reached
            count.doubts += row.doubts
            count.violations += len(row.violations)
        return [counts[kind] for kind in ORDER if kind in counts]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        total = len(self.rows)
        yield f"{total} schedules of agent `{self.agent}`, {sum(bool(r.violations) for r in self.rows)} with violations"
        if self.alone:
            yield f"  left alone it ended {self.alone}: nothing beyond that was tried"
        for name, violation in self.smallest.items():
            yield f"  {name}: {INVARIANTS[name]}; but with `{violation.schedule}` {violation.text}"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": self.ok,
            "agent": self.agent,
            "alone": self.alone or None,
            "boundaries": self.boundaries,
            "schedules": len(self.rows),
            "violations": len(self.violations),
            "seconds": round(self.seconds, 3),
            "kinds": [
                {
                    "kind": c.kind,
                    "schedules": c.schedules,
                    "passed": c.passed,
                    "not_reached": c.not_reached,
                    "in_doubt": c.doubts,
                    "violations": c.violations,
                }
                for c in self.counts()
            ],
            "smallest": [
                {"invariant": name, "schedule": str(v.schedule), "text": v.text}
                for name, v in self.smallest.items()
            ],
        }
