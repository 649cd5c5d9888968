"""Projections of the store in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from ..journal import (
    COUNTS,
    TALLY_COLUMNS,
    Counts,
    Entry,
    FiguresRow,
    Leaf,
    ListedRuns,
    Projected,
    RunQuery,
    RunRecord,
    TallyKey,
    TallyQuery,
    ToFold,
    Unfolded,
)
from ._memory_run import MemoryRun, matches
from .listing import has_words

if TYPE_CHECKING:
    import threading

__all__ = ["MemoryProjections"]

_PLACE = {name: i for i, name in enumerate(TALLY_COLUMNS)}


class MemoryProjections:
    """The part of `MemoryStore` that keeps projections."""

    if TYPE_CHECKING:
        _lock: threading.RLock
        _runs: dict[int, MemoryRun]
        _leaves: list[tuple[int, Leaf]]

    def __init__(self) -> None:
        self._projected = -1
        self._made_again: int | None = None
        self._figures: dict[int, FiguresRow] = {}
        self._stale: set[int] = set()
        self._tallies: dict[TallyKey, list[int]] = {}

    async def projected(self) -> Projected:
        """How far the projections go."""
        with self._lock:
            return Projected(self._projected, len(self._leaves), self._made_again)

    async def unfolded(self, *, limit: int = 256) -> Unfolded:
        """The runs of the next leaves, each once, but for those that were folded further."""
        with self._lock:
            start = self._projected + 1
            page = self._leaves[start : start + limit]
            wanted: dict[int, int] = {}
            for rid, leaf in page:
                wanted[rid] = max(wanted.get(rid, 0), leaf.seq)
            runs: list[ToFold] = []
            for rid, seq in sorted(wanted.items()):
                row, stale = self._figures.get(rid), rid in self._stale
                if rid in self._runs and (row is None or stale or row.folded < seq):
                    runs.append(ToFold(run=self._runs[rid].row, row=row, stale=stale))
            return Unfolded(cursor=self._projected, next=self._projected + len(page), runs=runs)

    async def traces(
        self, after: Sequence[tuple[int, int]], kinds: Sequence[int], *, limit: int = 5000
    ) -> list[tuple[int, Entry]]:
        """Entries of some runs, those of `kinds` with their payloads."""
        read = frozenset(kinds)
        with self._lock:
            found = (
                (rid, e if e.kind in read else e._replace(payload=b""))
                for rid, seq in after
                if rid in self._runs
                for e in self._runs[rid].entries[seq:]
            )
            return list(islice(found, limit))

    async def fold(
        self, cursor: int, to: int, rows: Sequence[FiguresRow], tallies: Mapping[TallyKey, Counts]
    ) -> bool:
        """Write what was folded, where nobody was first."""
        with self._lock:
            if self._projected != cursor:
                return False
            self._projected = to
            for row in rows:
                pruned = row.rid in self._runs and self._runs[row.rid].row.pruned_at is not None
                self._figures[row.rid] = row._replace(goal=None) if pruned else row
                self._stale.discard(row.rid)
            for key, counts in tallies.items():
                found = self._tallies.setdefault(key, [0] * len(COUNTS))
                for i, n in enumerate(counts):
                    found[i] += n
                if not found[0]:
                    del self._tallies[key]
            if self._made_again is not None and to >= self._made_again:
                self._made_again = None
                for rid in self._stale:
                    del self._figures[rid]
                self._stale.clear()
            return True

    async def drop_projections(self) -> int:
        """Begin again with the first leaf."""
        with self._lock:
            self._projected = -1
            self._tallies.clear()
            self._stale = set(self._figures)
            until = len(self._leaves) - 1
            self._made_again = until if until >= 0 else None
            return until

    async def tallies(self, query: TallyQuery) -> list[tuple[tuple[str | int, ...], Counts]]:
        """Tallies, added up by the columns asked for."""
        of_labels = "label" in query.by or "label" in query.where
        places = [_PLACE[column] for column in query.by]
        found: dict[tuple[str | int, ...], list[int]] = {}
        with self._lock:
            for key, counts in self._tallies.items():
                if (
                    key.grain == query.grain
                    and (query.since is None or key.at >= query.since)
                    and (query.until is None or key.at < query.until)
                    and bool(key.label) == of_labels
                    and all(str(key[_PLACE[name]]) in values for name, values in query.where.items())
                ):
                    group = found.setdefault(tuple(key[i] for i in places), [0] * len(COUNTS))
                    for i, n in enumerate(counts):
                        group[i] += n
        return sorted(found.items())

    async def figures(self, rids: Sequence[int]) -> dict[int, FiguresRow]:
        """What is kept of some runs."""
        with self._lock:
            return {rid: self._figures[rid] for rid in rids if rid in self._figures}

    async def figured(
        self,
        query: RunQuery,
        *,
        money_above: int | None = None,
        goal_has: str | None = None,
        window: int = 10_000,
    ) -> ListedRuns:
        """Runs with their figures, the newest first."""
        rows: list[tuple[RunRecord, FiguresRow | None]] = []
        looked, last = 0, None
        with self._lock:
            for rid, run in reversed(self._runs.items()):
                if query.before is not None and rid >= query.before:
                    continue
                if query.tenant not in (None, run.row.ref.tenant):
                    continue
                if len(rows) >= query.limit or looked >= window:
                    return ListedRuns(rows=rows, last=last)
                looked, last = looked + 1, run.row.ref
                row = self._figures.get(rid)
                if (
                    matches(run.row, query)
                    and (money_above is None or (row is not None and row.money > money_above))
                    and (goal_has is None or has_words(run.row.ref.id, row, goal_has))
                ):
                    rows.append((run.row, row))
            return ListedRuns(rows=rows, last=None)
