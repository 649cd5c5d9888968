"""Cells of the store in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..journal.cells import Amendment, Cell, CellKey, outcome_of

if TYPE_CHECKING:
    import threading

__all__ = ["MemoryCells"]


class MemoryCells:
    """The part of `MemoryStore` that keeps cells."""

    if TYPE_CHECKING:
        _lock: threading.RLock

        def now(self) -> int: ...  # the store's
        def _tell(self) -> None: ...

    def __init__(self) -> None:
        self._cells: dict[CellKey, Cell] = {}

    async def amend(self, amendment: Amendment, *, news: bool = False) -> Any:
        """Make one amendment."""
        with self._lock:
            self._write_cells(self._amended([amendment]))
            if news:
                self._tell()
            return amendment.result

    async def cells(
        self,
        kind: str,
        *,
        tenant: str | None = None,
        prefix: str = "",
        after: CellKey | None = None,
        limit: int = 1000,
    ) -> list[tuple[CellKey, Cell]]:
        """Cells of a kind, in the order of their keys."""
        with self._lock:
            found = sorted(
                (key, cell)
                for key, cell in self._cells.items()
                if key.kind == kind
                and tenant in (None, key.tenant)
                and key.name.startswith(prefix)
                and (after is None or key > after)
            )
            return found[:limit]

    async def due_cells(self, kind: str, *, limit: int = 100) -> list[tuple[CellKey, Cell]]:
        """Cells of a kind whose `due` has come, the longest due first."""
        with self._lock:
            return self._due(kind, self.now() + 1)[:limit]

    async def forget_cells(self, kind: str, *, before: int, limit: int = 1000) -> int:
        """Delete cells of a kind whose `due` lies before that time."""
        with self._lock:
            gone = self._due(kind, before)[:limit]
            for key, _ in gone:
                del self._cells[key]
            return len(gone)

    def _due(self, kind: str, before: int) -> list[tuple[CellKey, Cell]]:
        dated = [(c.due, k, c) for k, c in self._cells.items() if k.kind == kind and c.due is not None]
        return [(key, cell) for due, key, cell in sorted(dated) if due < before]

    def _amended(self, amendments: Sequence[Amendment]) -> dict[CellKey, Cell | None]:
        """What the amendments write, one after the other; nothing is written yet."""
        written: dict[CellKey, Cell | None] = {}
        results: list[Any] = []
        for amendment in amendments:
            there = {key: written.get(key, self._cells.get(key)) for key in amendment.keys}
            more, result = outcome_of(amendment, there, self.now())
            written.update(more)
            results.append(result)
        for amendment, result in zip(amendments, results, strict=True):
            amendment.result = result
        return written

    def _write_cells(self, written: dict[CellKey, Cell | None]) -> None:
        for key, cell in written.items():
            if cell is None:
                self._cells.pop(key, None)
            else:
                self._cells[key] = cell
