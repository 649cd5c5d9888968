"""Runs that are over, in memory: counting and pruning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from ..core.errors import UnknownRun
from ..core.ids import RunRef
from ..journal import ENDINGS, Amendment, Cell, CellKey, Entry, FiguresRow, Kind, RunQuery, RunStatus
from ._memory_run import MemoryRun, matches
from .annotation import annotation

if TYPE_CHECKING:
    import threading

__all__ = ["MemoryPast"]


class MemoryPast:
    """The part of `MemoryStore` that looks after runs that are over."""

    if TYPE_CHECKING:
        _lock: threading.RLock
        _runs: dict[int, MemoryRun]
        _figures: dict[int, FiguresRow]

        def now(self) -> int: ...  # the store's
        def _run(self, ref: RunRef) -> MemoryRun | None: ...
        def _amended(self, amendments: Sequence[Amendment]) -> dict[CellKey, Cell | None]: ...
        def _write_cells(self, written: dict[CellKey, Cell | None]) -> None: ...

    async def count(self, query: RunQuery) -> int:
        """How many runs match."""
        with self._lock:
            return sum(matches(run.row, query) for run in self._runs.values())

    async def of_kind(
        self, kind: int, rids: Sequence[int], *, after: tuple[int, int] = (0, 0), limit: int = 1000
    ) -> list[tuple[int, Entry]]:
        """Entries of one kind in the journals of some runs, by run and number."""
        with self._lock:
            runs = [(rid, self._runs[rid]) for rid in sorted(set(rids)) if rid in self._runs]
            found = ((rid, e) for rid, run in runs for e in run.entries if e.kind == kind)
            return list(islice((f for f in found if (f[0], f[1].seq) > after), limit))

    async def prune(self, ref: RunRef) -> int:
        """Take away the payloads that nobody needs to go on."""
        with self._lock:
            run = self._run(ref)
            if run is None:
                raise UnknownRun(f"no run `{ref}`; `perdure runs ls` shows what there is")
            ended = run.row.status in ENDINGS
            whole = [
                i
                for i, e in enumerate(run.entries)
                if (ended or e.seq < run.row.base) and (e.sealed or not e.erased) and e.kind != Kind.CHARGED
            ]
            for i in whole:
                run.entries[i] = run.entries[i].without_payload()
            if ended and run.row.pruned_at is None:
                run.inbox.clear()
                run.approvals.clear()
                run.row = replace(run.row, pruned_at=self.now(), reasons=(), progress=None)
                if run.row.rid in self._figures:
                    self._figures[run.row.rid] = self._figures[run.row.rid]._replace(goal=None)
            return len(whole)

    async def annotate(
        self,
        ref: RunRef,
        kind: int,
        payload: bytes,
        *,
        actor: str,
        key: str = "",
        amendments: Sequence[Amendment] = (),
        stored: Callable[[Entry], Entry] | None = None,
    ) -> Entry | None:
        """Add one entry to the journal of a run that has ended."""
        with self._lock:
            run = self._run(ref)
            if run is None:
                return None
            row, now = run.row, self.now()
            entry = annotation(
                ref,
                kind,
                payload,
                actor=actor,
                key=key,
                status=row.status,
                pruned_at=row.pruned_at,
                head=row.head,
                head_hash=row.head_hash,
                epoch=row.epoch,
                at=now,
            )
            self._write_cells(self._amended(amendments))
            run.entries.append(entry if stored is None else stored(entry))
            run.row = replace(row, head=entry.seq, head_hash=entry.hash, updated_at=now)
            return entry

    async def overdue(self, *, agent: str, status: RunStatus, before: int, limit: int = 100) -> list[RunRef]:
        """Runs that ended so before that time and were not pruned, the longest ended first."""
        query = RunQuery(agent=agent, statuses=frozenset({status}), ended_before=before, pruned=False)
        with self._lock:
            found = [run.row for run in self._runs.values() if matches(run.row, query)]
        return [row.ref for row in sorted(found, key=lambda r: (r.ended_at or 0, r.rid))[:limit]]

    async def collect(self, *, before: int, limit: int = 100) -> int:
        """There are no blobs: payloads stand in their entries."""
        return 0
