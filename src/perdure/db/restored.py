"""Whether a database is what its workers left, or was put back from an earlier moment.

A store that was restored has forgotten what its runs did since: to go on at once would do today's writes again. So the
store keeps, in a cell, where it lives (its *origin*); a worker that registers compares. A SQLite file cannot tell one
copy from another: `perdure db backup` marks the copy.

    worker registers ── origin as it was left? ── yes: work
                                               └─ no: `StoreRestored`, until `perdure db restored`
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from ..core.errors import StoreRestored
from ..journal.cells import Cell, CellKey

__all__ = ["BACKUP", "ORIGIN", "origin_cell", "refuse_restored", "restored_words", "told_of"]

ORIGIN = CellKey("perdure", "origin", "store")
"""The one cell that belongs to no tenant's runs, but to the store."""

BACKUP = "backup"
"""What begins the origin of a copy that was made to be kept."""


def origin_cell(origin: str) -> Cell:
    """What is kept of an origin."""
    return Cell(json.dumps({"origin": origin}).encode())


def told_of(cell: Cell) -> str:
    """The origin that a cell tells of; empty where it cannot be read, which equals none that there is."""
    try:
        told: Any = json.loads(cell.data)
        return str(told["origin"])
    except (ValueError, KeyError, TypeError):
        return ""


def restored_words(was: str) -> str:
    """What a store is whose workers left it as `was`, for people: it goes on behind the store's name."""
    if not was.startswith(BACKUP):
        return f"is not on the database that its workers left (`{was}`): it was restored, or has failed over"
    at = datetime.fromtimestamp(int(was.removeprefix(BACKUP).strip() or 0) / 1e6, UTC)
    return f"is a backup of {at:%Y-%m-%d %H:%M} UTC"


def refuse_restored(name: str, *, was: str, now: str) -> None:
    """Raise `StoreRestored` where a store's origin is not what its workers left. `name`: the store, for people."""
    if was == now:
        return
    what = restored_words(was)
    raise StoreRestored(
        f"the store `{name}` {what}. What its runs did since then it may have forgotten, and would do again: "
        "`perdure db restored` holds the runs in flight for review and lets work go on; where nothing can be lost, "
        "`perdure db restored --nothing-lost`"
    )
