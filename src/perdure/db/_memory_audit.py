"""The audit log of the store in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..journal.audit import Grower, Integrated, KeptCheckpoint, Leaf, LogLag, TileKey
from ._memory_run import MemoryRun

if TYPE_CHECKING:
    import threading

__all__ = ["MemoryAudit"]


class MemoryAudit:
    """The part of `MemoryStore` that keeps the audit log. There are few runs: all of them are looked at."""

    if TYPE_CHECKING:
        _lock: threading.RLock
        _runs: dict[int, MemoryRun]

        def now(self) -> int: ...  # the store's

    def __init__(self) -> None:
        self._leaves: list[tuple[int, Leaf]] = []
        self._sequenced: dict[int, int] = {}
        """the head in a run's last leaf, by `rid`"""
        self._tiles: dict[TileKey, bytes] = {}
        self._checkpoints: dict[int, KeptCheckpoint] = {}

    async def log_size(self) -> int:
        """How many leaves there are."""
        return len(self._leaves)

    async def moved(self) -> bool:
        """Whether a run's head moved."""
        with self._lock:
            return any(True for _ in self._moved())

    async def log_lag(self) -> LogLag:
        """How far behind the log is."""
        with self._lock:
            moved = list(self._moved())
            since = min((e.at for run in moved for e in run.entries[self._sequenced_of(run) :]), default=None)
            return LogLag(len(moved), since)

    async def integrate(self, grower: Grower, *, limit: int = 512) -> Integrated:
        """Add leaves for runs whose head moved."""
        with self._lock:
            size = len(self._leaves)
            moved = list(self._moved())
            rows = [run.row for run in moved[:limit]]
            leaves = [
                Leaf(size + i, row.ref, row.head, self._sequenced.get(row.rid, 0), row.head_hash)
                for i, row in enumerate(rows)
            ]
            last = max(self._checkpoints.values(), default=None)
            signed = last.size if last else 0
            if leaves or signed != size:
                edge = {key: self._tiles.get(key, b"") for key in grower.edge(size, signed)}
                growth = grower.grow(size, edge, leaves, last)
                self._leaves += [(row.rid, leaf) for row, leaf in zip(rows, leaves, strict=True)]
                self._sequenced.update({row.rid: row.head for row in rows})
                self._tiles.update(growth.tiles)
                size += len(leaves)
                if growth.note is not None:
                    self._checkpoints = {n: c for n, c in self._checkpoints.items() if c.kept}
                    self._checkpoints.setdefault(size, KeptCheckpoint(size, growth.note, self.now(), False))
            return Integrated(size, len(leaves), len(moved) > limit)

    async def look_for_moved(self, *, after: int = 0, limit: int = 2000) -> int | None:
        """None can be missed: all runs are looked at each time."""
        return None

    async def leaves(self, *, after: int = -1, limit: int = 1000) -> list[Leaf]:
        """Leaves behind `after`, in order."""
        with self._lock:
            return [leaf for _, leaf in self._leaves[after + 1 : after + 1 + limit]]

    async def leaves_of(self, rids: Sequence[int]) -> list[tuple[int, Leaf]]:
        """All leaves of some runs, by run and number."""
        with self._lock:
            wanted = set(rids)
            found = [(rid, leaf) for rid, leaf in self._leaves if rid in wanted]
        return sorted(found, key=lambda f: (f[0], f[1].seq))

    async def tiles(self, keys: Sequence[TileKey]) -> dict[TileKey, bytes]:
        """Those tiles that are there."""
        with self._lock:
            return {key: self._tiles[key] for key in keys if key in self._tiles}

    async def checkpoints(self, *, limit: int = 1, before: int | None = None) -> list[KeptCheckpoint]:
        """The newest checkpoints first."""
        with self._lock:
            found = sorted(self._checkpoints.values(), reverse=True)
        return [c for c in found if before is None or c.size < before][:limit]

    async def keep_checkpoint(self, size: int, note: str) -> None:
        """Keep a checkpoint for good, with this note."""
        with self._lock:
            there = self._checkpoints.get(size)
            at = self.now() if there is None else there.at
            self._checkpoints[size] = KeptCheckpoint(size, note, at, True)

    def _sequenced_of(self, run: MemoryRun) -> int:
        return self._sequenced.get(run.row.rid, 0)

    def _moved(self) -> Sequence[MemoryRun]:
        return [run for run in self._runs.values() if run.row.head > self._sequenced_of(run)]
