"""Amendments of cells that hold a data subject's data: opened before they are changed, sealed again behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...journal import Amendment, Cell, CellKey
from .marks import PERSONAL, sealed_cell

if TYPE_CHECKING:
    from .form import SubjectKey

__all__ = ["KeyNeeded", "Keys", "opened", "personal", "sealed_amendment"]

Keys = Mapping[tuple[str, str], "SubjectKey | None"]
"""By tenant and subject; None: it was erased."""


class KeyNeeded(Exception):
    """A cell was met whose key is not at hand: fetch that of `(tenant, subject)`, and try again."""

    def __init__(self, tenant: str, subject: str) -> None:
        super().__init__(tenant, subject)
        self.tenant = tenant
        self.subject = subject


def personal(amendment: Amendment) -> bool:
    """Whether it changes cells that may be sealed."""
    return any(key.kind in PERSONAL for key in amendment.keys)


def opened(key: CellKey, cell: Cell, keys: Keys) -> tuple[Cell | None, str | None]:
    """The cell as it was before it was sealed, and whose it is. None in its place: it was erased with its key."""
    found = sealed_cell(cell.data) if key.kind in PERSONAL else None
    if found is None:
        return cell, None
    subject, sealed = found
    try:
        known = keys[key.tenant, subject]
    except KeyError:
        raise KeyNeeded(key.tenant, subject) from None
    data = None if known is None else known.open_cell(sealed, _context(key))
    return (None if data is None else cell._replace(data=data)), subject


def sealed_amendment(amendment: Amendment, keys: Keys, subject: str | None) -> Amendment:
    """The same change of the cells as they are stored. What it writes is `subject`'s, or whose it was before."""

    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        there: dict[CellKey, Cell] = {}
        whose: dict[CellKey, str | None] = {}
        for key, cell in cells.items():
            plain, whose[key] = opened(key, cell, keys)
            if plain is not None:
                there[key] = plain
        written, amendment.result = amendment.change(there, now)
        stored: dict[CellKey, Cell | None] = {}
        for key, cell in written.items():
            owner = (whose.get(key) or subject) if key.kind in PERSONAL else None
            stored[key] = cell if cell is None or owner is None else _sealed(key, cell, keys, owner)
        return stored, amendment.result

    return Amendment(amendment.keys, change)


def _sealed(key: CellKey, cell: Cell, keys: Keys, subject: str) -> Cell:
    known = keys.get((key.tenant, subject))
    if known is None:
        raise KeyNeeded(key.tenant, subject)
    return cell._replace(data=known.seal_cell(cell.data, _context(key)))


def _context(key: CellKey) -> str:
    return f"cell|{key.kind}|{key.name}"
