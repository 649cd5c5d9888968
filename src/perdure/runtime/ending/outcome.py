"""Whether a run met its goal: OUTCOME entries, and a cell for each run of which something is known, to filter by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core

from ...core.ids import RunRef
from ...journal import Amendment, Cell, CellKey, Entry, Kind

__all__ = ["Outcome", "keep_outcome", "outcome_key", "outcomes_of", "read_outcomes"]

KIND = "outcome"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Somebody's word on whether a run met its goal."""

    met: bool
    by: str
    evidence: Any
    at: int
    """microseconds, the store's time"""

    @classmethod
    def of(cls, entry: Entry) -> Outcome:
        """From an OUTCOME entry."""
        told: dict[str, Any] = pydantic_core.from_json(entry.payload)
        return cls(bool(told["met"]), str(told["by"]), told.get("evidence"), entry.at)


def outcomes_of(entries: Sequence[Entry]) -> list[Outcome]:
    """All that was said, in order."""
    return [Outcome.of(e) for e in entries if e.kind == Kind.OUTCOME and not e.erased]


def outcome_key(ref: RunRef) -> CellKey:
    """The cell that holds the last word on a run."""
    return CellKey(ref.tenant, KIND, ref.id)


def keep_outcome(ref: RunRef, met: bool) -> Amendment:
    """Keep the last word, to be found without reading the journal."""
    key = outcome_key(ref)
    return Amendment((key,), lambda _cells, _now: ({key: Cell(b"true" if met else b"false")}, None))


def read_outcomes(keys: Sequence[CellKey]) -> Amendment:
    """The last words on several runs, by key; those of which nothing is known are left out. Writes nothing."""

    def change(
        cells: Mapping[CellKey, Cell], now: int
    ) -> tuple[Mapping[CellKey, Cell | None], dict[CellKey, bool]]:
        return {}, {key: cell.data == b"true" for key, cell in cells.items()}

    return Amendment(keys, change)
