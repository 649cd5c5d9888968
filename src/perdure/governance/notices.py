"""The outbox: notices to contacts, as cells. Whoever has something to say writes one in the transaction of the fact.

    written ─► taken by one messenger ─► delivered ──┬─ nothing more to wait for: gone
       ▲            │                                ├─ acknowledged: gone
       └── failed ──┘ again later                    └─ not in time: to the next contact, or unanswered

A notice is delivered at least once: its `id` is the same each time. The cell's `due` says when somebody is to look at
it: the next attempt, the end of a lease on it, the time until which it is to be acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import pydantic_core

from ..journal import Amendment, Cell, CellKey

__all__ = ["KIND", "Notice", "change_notice", "drop_notice", "new_notice", "take_notice"]

KIND = "notice"

State = Literal["open", "delivered", "unanswered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One notice. Only `kind`, `run` and `subject` must be there in the cell."""

    kind: str
    """`escalation`, `approval.asked`, ...; receivers see it"""
    run: str
    """the run's id"""
    subject: str
    """one line"""
    body: str = ""
    """plain text"""
    blocks: list[Any] | None = None
    """the same as Slack draws it"""
    to: str | None = None
    """the contact's name; None: the default one"""
    step: str | None = None
    log: str | None = None
    """the run whose journal says what became of it; None: of an escalation its own, of others nobody's"""
    id: str = ""
    """`msg_...`; without one, the cell's name stands for it"""
    ack: bool = False
    """it stays until somebody acknowledges it, and is passed on where nobody does"""
    created: int = 0
    """microseconds"""
    state: State = "open"
    attempts: int = 0
    """with the present contact"""
    passed: tuple[str, ...] = ()
    """contacts that it went to before"""
    holder: str | None = None
    """the messenger that has taken it"""
    delivered_at: int | None = None
    why: str = ""
    """why it is where it is: the last error"""

    @classmethod
    def of(cls, key: CellKey, cell: Cell) -> Notice:
        """From a cell; what a later release says beside is left out."""
        told: dict[str, Any] = pydantic_core.from_json(cell.data)
        known = {name: told[name] for name in cls.__dataclass_fields__ if name in told}
        known["passed"] = tuple(known.get("passed") or ())
        made = cls(**known)
        return made if made.id else replace(made, id=f"msg_{key.name}")

    def cell(self, due: int | None) -> Cell:
        """As it is kept."""
        return Cell(pydantic_core.to_json(asdict(self)), due)


def new_notice(tenant: str, name: str, notice: Notice) -> Amendment:
    """Put a notice into the outbox, to be delivered at once. Done twice under one name it is one."""
    key = CellKey(tenant, KIND, name)

    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        made = replace(notice, created=notice.created or now)
        return ({} if key in cells else {key: made.cell(now)}), None

    return Amendment((key,), change)


def take_notice(key: CellKey, holder: str, lease: int) -> Amendment:
    """Take a notice that is due, for `lease` microseconds. The result: it, or None where another has it."""

    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        cell = cells.get(key)
        if cell is None or cell.due is None or cell.due > now:
            return {}, None
        taken = replace(Notice.of(key, cell), holder=holder)
        return {key: taken.cell(now + lease)}, taken

    return Amendment((key,), change)


def change_notice(
    key: CellKey,
    make: Callable[[Notice, int], tuple[Notice | None, int | None]],
    *,
    holder: str | None = None,
) -> Amendment:
    """What became of it: `make` gets it and the time, and returns it with when it is due again, or None: it is gone.

    The result: what it was before; None where it is gone already, or is not `holder`'s any more.
    """

    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        cell = cells.get(key)
        before = None if cell is None else Notice.of(key, cell)
        if before is None or (holder is not None and before.holder != holder):
            return {}, None
        after, due = make(before, now)
        return {key: None if after is None else after.cell(due)}, before

    return Amendment((key,), change)


def drop_notice(key: CellKey) -> Amendment:
    """It needs no answer any more. The result: what it was, or None."""
    return change_notice(key, lambda notice, now: (None, None))
