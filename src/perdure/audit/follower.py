"""Who follows the audit log, and how far: a cell with the place of the one process that reads on, under a lease.

    take ─► where the last one has written down that it was ─► read on ─► keep ─► read on ─► keep ─► ... ─► release

Whoever dies between reading and `keep` is followed by one that reads the same again: all is seen at least once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core

from ..journal import Amendment, Cell, CellKey, Store

__all__ = ["Followed", "Follower", "State", "followed"]

State = dict[str, Any]
"""What is written down: JSON. `failed` is of one whose receiver has taken nothing: until then nobody reads on."""

_Cells = Mapping[CellKey, Cell]
_Changes = Mapping[CellKey, Cell | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """One follower, as others see it."""

    name: str
    """of its cell"""
    holder: str
    """the process that reads on, or did last"""
    until: int
    """up to when it is that one's: microseconds, the store's clock"""
    state: State


class Follower:
    """One follower, as this process knows it. `lease` is in microseconds of the store's time."""

    def __init__(self, store: Store, key: CellKey, *, holder: str, lease: int) -> None:
        """`holder` names this process, and no other."""
        self._store = store
        self._key = key
        self._holder = holder
        self._lease = lease

    async def take(self, begin: State) -> State | None:
        """What was written down, or `begin`, once it is ours; None: it is somebody else's, or it is not time yet."""

        def change(there: _Cells, now: int) -> tuple[_Changes, State | None]:
            state, holder, until = self._told(there)
            mine = holder == self._holder and not (state or {}).get("failed")
            if until > now and not mine:
                return {}, None
            state = begin if state is None else state
            if mine and until - now > self._lease // 2:
                return {}, state
            return {self._key: self._cell(state, now + self._lease)}, state

        return await self._store.amend(Amendment([self._key], change))

    async def keep(self, state: State, *, lease: int | None = None, beside: _Changes | None = None) -> bool:
        """Write down how far it is, and other cells with it, all or none. False: another has taken over."""
        until = self._lease if lease is None else lease
        more: _Changes = beside or {}

        def change(there: _Cells, now: int) -> tuple[_Changes, bool]:
            if self._told(there)[1] != self._holder:
                return {}, False
            return {self._key: self._cell(state, now + until), **more}, True

        return await self._store.amend(Amendment([self._key, *more], change))

    async def release(self) -> None:
        """Let another process go on at once; without it one does when the lease is over."""

        def change(there: _Cells, now: int) -> tuple[_Changes, None]:
            state, holder, _ = self._told(there)
            if state is None or holder != self._holder or state.get("failed"):
                return {}, None
            return {self._key: self._cell(state, now)}, None

        await self._store.amend(Amendment([self._key], change))

    async def state(self) -> State | None:
        """What is written down, whoever reads on; None: nobody has yet."""
        found = await self._store.cells(
            self._key.kind, tenant=self._key.tenant, prefix=self._key.name, limit=1
        )
        return self._told(dict(found))[0]

    def _told(self, there: _Cells) -> tuple[State | None, str, int]:
        """What stands there, whose it is, and until when."""
        cell = there.get(self._key)
        return (None, "", 0) if cell is None else _read(cell)

    def _cell(self, state: State, until: int) -> Cell:
        return Cell(pydantic_core.to_json({**state, "holder": self._holder}), until)


async def followed(store: Store, kind: str, *, tenant: str) -> list[Followed]:
    """The followers of one kind, by name."""
    found: list[Followed] = []
    for key, cell in await store.cells(kind, tenant=tenant):
        state, holder, until = _read(cell)
        found.append(Followed(name=key.name, holder=holder, until=until, state=state))
    return found


def _read(cell: Cell) -> tuple[State, str, int]:
    state: State = pydantic_core.from_json(cell.data)
    holder = state.pop("holder", "") or state.pop("by", "")  # so watchers wrote it
    until = state.pop("until", 0)  # and so the exporter of spans
    return state, holder, until if cell.due is None else cell.due
