"""The cell of a work item: who has it, and how far it is, so that two runs of a series never have one at once.

What stands in a cell follows from the journals; where one is missing, they are asked, and the next change writes it
anew. It outlives a journal that is pruned, so that what was done is not done again: the item's id and state, no words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pydantic_core

from ...core.ids import RunRef
from ...journal import Amendment, Cell, CellKey, Store
from ...journal.entry import fingerprint

__all__ = ["Kept", "item_key", "keep_item", "keep_name", "kept_items", "series_names", "take_item"]

KIND = "series"
NAMES = "series_name"

_PAGE = 500


class Kept(NamedTuple):
    """What a cell says of an item."""

    item: str
    state: str
    """that of a record, or `taken`"""
    run: str
    at: int


def item_key(tenant: str, series: str, item: str, key: bytes) -> CellKey:
    """The cell of an item; `key` is that of the fingerprints, the person's where the runs handle one's data."""
    return CellKey(tenant, KIND, f"{series}/{fingerprint(key, b'series item' + item.encode()).hex()}")


def keep_item(key: CellKey, item: str, state: str, run: str) -> Amendment:
    """Keep an item's state, in the transaction of the entry that says so."""

    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
        return {key: _cell(Kept(item, state, run, now))}, None

    return Amendment((key,), change)


def take_item(
    key: CellKey, item: str, run: str, *, over: Callable[[str], bool], subject: str | None
) -> Amendment:
    """Take an item for a run: True where it was to be had. `over`: whether a run is known to have ended."""

    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], bool]:
        if key in cells:
            there = _kept(cells[key])
            begun = there.state in ("taken", "half_done") and (there.run == run or over(there.run))
            if there.state != "open" and not begun:
                return {}, False
        return {key: _cell(Kept(item, "taken", run, now))}, True

    return Amendment((key,), change, subject=subject)


async def kept_items(store: Store, tenant: str, series: str, key: bytes) -> dict[str, Kept]:
    """What the cells say, by item; those under another key are another person's."""
    found: dict[str, Kept] = {}
    after: CellKey | None = None
    while page := await store.cells(KIND, tenant=tenant, prefix=f"{series}/", after=after, limit=_PAGE):
        after = page[-1][0]
        for where, cell in page:
            kept = _kept(cell)
            if item_key(tenant, series, kept.item, key) == where:
                found[kept.item] = kept
        if len(page) < _PAGE:
            break
    return found


def keep_name(ref: RunRef, series: str) -> Amendment:
    """Note that there is a series of that name, to be listed."""
    key = CellKey(ref.tenant, NAMES, series)
    return Amendment((key,), lambda cells, _now: ({} if key in cells else {key: Cell(b"{}")}, None))


async def series_names(store: Store, tenant: str) -> list[str]:
    """The series of a tenant, by name."""
    names: list[str] = []
    after: CellKey | None = None
    while page := await store.cells(NAMES, tenant=tenant, after=after, limit=_PAGE):
        after = page[-1][0]
        names += [key.name for key, _ in page]
    return names


def _cell(kept: Kept) -> Cell:
    return Cell(pydantic_core.to_json(kept._asdict()))


def _kept(cell: Cell) -> Kept:
    told: dict[str, Any] = pydantic_core.from_json(cell.data)
    return Kept(str(told["item"]), str(told["state"]), str(told["run"]), int(told["at"]))
