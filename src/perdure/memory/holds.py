"""What was withdrawn: one write, or all that a run has written, over all layers.

A hold stands beside the items, under the names of their writes. So it holds in every backend, is there before the next
recall, and takes nothing away: `restore` makes things as they were. Recalls leave out what is held.

    memory_hold   RUN/                   all that it has written, or will write
                  RUN/hash of the step   one write
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pydantic_core

from ..journal import Amendment, Cell, CellKey
from ..journal.cells import CellStore
from .port import Origin

__all__ = ["HOLD", "Hold", "Holds"]

HOLD = "memory_hold"
_PAGE = 1000


class _Cells(CellStore, Protocol):
    def now(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Who withdrew what, and why."""

    run: str
    step: str | None
    """None: all that the run has written"""
    by: str
    why: str
    at: int
    """microseconds, the store's clock"""

    @property
    def target(self) -> str:
        """What it holds: `RUN` or `RUN/STEP`."""
        return self.run if self.step is None else f"{self.run}/{self.step}"


class Holds:
    """The holds of a store. Has no state of its own."""

    def __init__(self, store: _Cells) -> None:
        self._store = store

    async def withdraw(self, tenant: str, run: str, step: str | None, *, by: str, why: str) -> bool:
        """Hold back what that write, or that run, has put into memory. False: it is held already."""
        key = _key(tenant, run, step)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], bool]:
            if key in cells:
                return {}, False
            told = {"run": run, "step": step, "by": by, "why": why, "at": now}
            return {key: Cell(pydantic_core.to_json(told))}, True

        return await self._store.amend(Amendment([key], change))

    async def restore(self, tenant: str, run: str, step: str | None) -> bool:
        """Take a hold away. False: there was none."""
        key = _key(tenant, run, step)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], bool]:
            return ({key: None}, True) if key in cells else ({}, False)

        return await self._store.amend(Amendment([key], change))

    async def among(self, tenant: str, origins: Iterable[Origin]) -> dict[Origin, Hold]:
        """Those of the writes that are held, and by what. One look at the store where little is held."""
        asked = set(origins)
        if not asked:
            return {}
        page = await self._store.cells(HOLD, tenant=tenant, limit=_PAGE)
        if len(page) == _PAGE:
            page = [
                found
                for run in sorted({origin.run for origin in asked})
                for found in await self._store.cells(HOLD, tenant=tenant, prefix=f"{run}/", limit=_PAGE)
            ]
        held = {key.name: cell for key, cell in page}
        found: dict[Origin, Hold] = {}
        for origin in asked if held else ():
            cell = held.get(f"{origin.run}/") or held.get(_key(tenant, origin.run, origin.step).name)
            if cell is not None:
                found[origin] = _hold(cell)
        return found

    async def get(self, tenant: str, run: str, step: str | None) -> Hold | None:
        """That of just this target; None: there is none."""
        key = _key(tenant, run, step)
        found = dict(await self._store.cells(HOLD, tenant=tenant, prefix=key.name, limit=1))
        return _hold(found[key]) if key in found else None

    async def ls(self, tenant: str, *, limit: int = _PAGE) -> list[Hold]:
        """What is held, by runs."""
        return [_hold(cell) for _, cell in await self._store.cells(HOLD, tenant=tenant, limit=limit)]


def _key(tenant: str, run: str, step: str | None) -> CellKey:
    name = "" if step is None else hashlib.sha256(step.encode()).hexdigest()[:32]
    return CellKey(tenant, HOLD, f"{run}/{name}")


def _hold(cell: Cell) -> Hold:
    told: dict[str, Any] = pydantic_core.from_json(cell.data)
    return Hold(**told)
