"""The ledger of a run: its RESERVED and CHARGED entries, folded.

    RESERVED {id, what, name, amount, accounts, …}             before a call, where a budget applies
    CHARGED  {what, name, amount, usage, price, reserved, …}   with the call's result, in the same append

A RESERVED that no CHARGED names is a call that was under way when the worker died: nobody knows what it used, so the
whole reservation counts, marked as estimated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pydantic_core

from ..journal.entry import Entry, Kind
from .amounts import NOTHING, Amount

__all__ = ["Ledger", "Line", "What", "used_of"]

What = Literal["model", "tool", "human", "child"]
"""What was paid for. A child's line is what the child spent: its own journal holds it in detail."""

_RESERVED, _CHARGED, _CLAIMED = int(Kind.RESERVED), int(Kind.CHARGED), int(Kind.CLAIMED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One charge, or one reservation that still stands."""

    seq: int
    at: int
    step: str
    what: What
    name: str
    """of the model, the tool or the child run"""
    amount: Amount
    accounts: tuple[str, ...] = ()
    """of shared budgets, that it counts in"""
    source: str | None = None
    version: str | None = None
    unpriced: bool = False
    estimated: bool = False
    cached_tokens: int = 0
    mark: bytes = b""
    part: str = ""
    """of the run: `check`, `repair` or `undo`; empty: the work itself"""

    @classmethod
    def of(cls, entry: Entry, told: dict[str, Any]) -> Line:
        """From an entry and its payload."""
        price: dict[str, Any] = told.get("price") or {}
        usage: dict[str, Any] = told.get("usage") or {}
        return cls(
            seq=entry.seq,
            at=entry.at,
            step=entry.key,
            what=told["what"],
            name=told["name"],
            amount=Amount.from_json(told["amount"]),
            accounts=tuple(told.get("accounts", ())),
            source=price.get("source"),
            version=price.get("version"),
            unpriced=told.get("unpriced", False),
            estimated=told.get("estimated", False),
            cached_tokens=usage.get("cached_tokens") or 0,
            mark=entry.fingerprint,
            part=told.get("part", ""),
        )


class Ledger:
    """The fold. It goes on with every entry that it is shown, in the order of the journal."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.charges: list[Line] = []
        self.open: dict[str, Line] = {}
        """reservations of calls that are under way, by their ids"""
        self.spent = NOTHING
        """all charges, those of children included"""
        self.carried = NOTHING
        """of it, what was spent in generations whose entries are not here"""
        self.loose: set[str] = set()
        """shared accounts that it may hold a part of: named since the run last gave back what it held"""
        self.raised: dict[str, int] = {}
        """what the owner has added to the run's budget"""
        self.stopped = ""
        """who has said that the run shall end rather than get more"""
        self.finishing = False
        """the last call, from what is held back, has been reserved"""
        self._spans: list[tuple[int, int]] = []
        """of each claim that is over: its first entry, and the microseconds to its last"""
        self._claimed: tuple[int, int] | None = None
        """of the claim that is not over: its first entry, and when that was written"""
        self._last = 0
        for entry in entries:
            self.see(entry)

    def see(self, entry: Entry) -> None:
        """One more entry."""
        kind = entry.kind
        if kind == _CLAIMED:
            if self._claimed is not None:
                self._spans.append((self._claimed[0], max(0, self._last - self._claimed[1])))
            self._claimed = (entry.seq, entry.at)
        self._last = entry.at
        if kind == _CHARGED:
            told: dict[str, Any] = pydantic_core.from_json(entry.payload)
            self.charge(Line.of(entry, told), told.get("reserved", ""))
        elif kind == _RESERVED:
            told = pydantic_core.from_json(entry.payload)
            self.reserve(told["id"], Line.of(entry, told), last=told.get("last", False))
        elif kind == Kind.MESSAGE:
            told = pydantic_core.from_json(entry.payload)
            if told["kind"] == "budget":
                self.hear(told)
        elif kind == Kind.SUSPENDED:
            self.loose.clear()
        elif kind == Kind.CONTINUED:
            told = pydantic_core.from_json(entry.payload)
            self.carried = Amount.from_json(told.get("spent"))
            self.spent += self.carried
            self.raised = dict(told.get("raised", {}))

    def reserve(self, id: str, line: Line, *, last: bool = False) -> None:
        """A call is about to begin."""
        self.open[id] = line
        self.loose.update(line.accounts)
        self.finishing = self.finishing or last

    def charge(self, line: Line, reserved: str = "") -> None:
        """A call has been paid for; `reserved` is the id of its reservation."""
        if reserved:
            self.open.pop(reserved, None)
        self.charges.append(line)
        self.spent += line.amount
        if line.accounts:
            self.loose.update(line.accounts)

    def hear(self, message: Mapping[str, Any]) -> None:
        """What the owner says: `{"raise": {dimension: n}}` or `{"stop": true}`."""
        body: dict[str, Any] = message.get("body") or {}
        for name, n in body.get("raise", {}).items():
            self.raised[name] = self.raised.get(name, 0) + int(n)
        if body.get("stop"):
            self.stopped = message["sender"]

    def close(self) -> None:
        """Take what calls under way may use as used: nobody will say any more what it was."""
        for line in self.open.values():
            self.charges.append(line)
            self.spent += line.amount
        self.open.clear()

    @property
    def own(self) -> Amount:
        """What the run itself spent in the entries that were seen, without its children."""
        total = NOTHING
        for line in self.charges:
            if line.what != "child":
                total += line.amount
        return total

    @property
    def reserved(self) -> Amount:
        """What calls that are under way may use."""
        total = NOTHING
        for line in self.open.values():
            total += line.amount
        return total

    def active_time(self, after: int = 0) -> int:
        """Microseconds in which a worker held the run, up to the last entry, under claims after the entry `after`."""
        total = sum(span for seq, span in self._spans if seq > after)
        if self._claimed is not None and self._claimed[0] > after:
            total += max(0, self._last - self._claimed[1])
        return total

    def accounts(self) -> set[str]:
        """All shared accounts that it names."""
        found = {name for line in self.charges for name in line.accounts}
        return found | {name for line in self.open.values() for name in line.accounts}

    def used_of(self, after: int) -> dict[str, Amount]:
        """What entries after `after` have used of each shared account."""
        return used_of(self.charges, after)


def used_of(charges: Sequence[Line], after: int, until: int | None = None) -> dict[str, Amount]:
    """What charges of entries after `after`, up to `until`, have used of each shared account."""
    used: dict[str, Amount] = {}
    for line in charges:
        if line.seq > after and (until is None or line.seq <= until):
            for name in line.accounts:
                used[name] = used.get(name, NOTHING) + line.amount
    return used
