"""Projections of what is sealed: runs are opened to be folded, and nothing of them that is text is kept.

What a run about a person adds up to is numbers, and names of steps and tools; its goal is not among its figures
(`perdure.telemetry`). Where no key is here, its headers and charges are folded, which are not sealed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.ids import RunRef
from ...journal import Entry, ListedRuns, RunQuery, RunRecord, Unfolded

if TYPE_CHECKING:
    from ...journal import Store

__all__ = ["SealedProjections"]


class SealedProjections:
    """The part of `SealedStore` that reads for projections and lists."""

    if TYPE_CHECKING:
        inner: Store

        def _met(self, record: RunRecord) -> str | None: ...
        async def _opened(self, record: RunRecord) -> RunRecord: ...
        async def _run(self, rid: int) -> tuple[RunRef, str | None]: ...
        async def _opened_entries(
            self, ref: RunRef, subject: str | None, entries: Sequence[Entry]
        ) -> list[Entry]: ...

    async def unfolded(self, *, limit: int = 256) -> Unfolded:
        """The next runs to fold."""
        found = await self.inner.unfolded(limit=limit)
        runs = [replace(f, run=await self._opened_record(f.run)) for f in found.runs]
        return replace(found, runs=runs)

    async def traces(
        self, after: Sequence[tuple[int, int]], kinds: Sequence[int], *, limit: int = 5000
    ) -> list[tuple[int, Entry]]:
        """Entries of some runs, those of `kinds` with their payloads."""
        found = await self.inner.traces(after, kinds, limit=limit)
        for i, (rid, entry) in enumerate(found):
            if entry.sealed and entry.payload:
                ref, subject = await self._run(rid)
                found[i] = rid, (await self._opened_entries(ref, subject, [entry]))[0]
        return found

    async def figured(
        self,
        query: RunQuery,
        *,
        money_above: int | None = None,
        goal_has: str | None = None,
        window: int = 10_000,
    ) -> ListedRuns:
        """Runs with their figures, the newest first."""
        found = await self.inner.figured(query, money_above=money_above, goal_has=goal_has, window=window)
        return replace(found, rows=[(await self._opened_record(run), row) for run, row in found.rows])

    async def _opened_record(self, run: RunRecord) -> RunRecord:
        return run if self._met(run) is None else await self._opened(run)
