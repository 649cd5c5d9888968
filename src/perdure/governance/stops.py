"""Runs that a stop has met: a cell each, so that whoever lets them go on finds exactly those, and wakes no others.

The cell is written with the entry that says so. A run that has ended meanwhile leaves it, until the stop is lifted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pydantic_core

from ..core.errors import RunEnded, UnknownRun
from ..core.ids import RunRef, new_id
from ..journal import Amendment, Cell, CellKey, Post, Store
from .revocations import EVERYTHING, Who

__all__ = ["GO_ON", "held_run", "wake_held"]

KIND = "stopped_run"

GO_ON = "go_on"
"""The kind of the messages that let them look again."""

AT_ONCE = 100


def held_run(ref: RunRef, who: Who) -> Amendment:
    """Note that a run waits because of that stop."""
    key = CellKey(ref.tenant, KIND, ref.id)

    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
        by = _by(cells[key]) if key in cells else []
        return {key: Cell(pydantic_core.to_json([*(w for w in by if w != who), who]))}, None

    return Amendment([key], change)


async def wake_held(store: Store, tenant: str, who: Who, *, by: str, reason: str = "") -> int:
    """Tell the runs that wait because of a stop that it is over: they look again. How many were told."""
    body = pydantic_core.to_json({"what": who.what, "name": who.name, "reason": reason})
    within = None if who == EVERYTHING else tenant
    woken, after = 0, None
    while page := await store.cells(KIND, tenant=within, after=after, limit=AT_ONCE):
        after = page[-1][0]
        mine = [key for key, cell in page if who in _by(cell)]
        woken += sum(await asyncio.gather(*(_tell(store, key, who, by, body) for key in mine)))
    return woken


async def _tell(store: Store, key: CellKey, who: Who, by: str, body: bytes) -> bool:
    ref = RunRef(key.tenant, key.name)
    try:
        await store.post(Post(ref=ref, kind=GO_ON, name="", id=f"go-on-{new_id()}", sender=by, body=body))
    except (RunEnded, UnknownRun):
        told = False
    else:
        told = True
    await store.amend(_without(key, who))  # once it is told: whoever dies in between tells it again
    return told


def _without(key: CellKey, who: Who) -> Amendment:
    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
        left = [w for w in _by(cells[key]) if w != who] if key in cells else []
        return {key: Cell(pydantic_core.to_json(left)) if left else None} if key in cells else {}, None

    return Amendment([key], change)


def _by(cell: Cell) -> list[Who]:
    told: list[list[Any]] = pydantic_core.from_json(cell.data)
    return [Who(*pair) for pair in told]
