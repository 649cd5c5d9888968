"""Writes that wait for a person: what an untrusted source would have an agent remember, before anybody recalls it.

A proposal is a write that was not done. It is in no layer, so no run recalls it, that which proposed it neither; nor
can it push aside what is there. Accepted it is done as the run would have done it, under its own key and origin: once,
whoever dies in the middle.

    memory_proposal    waits/RUN/hash of the step     the write
                       decided/RUN/hash of the step   and what was decided, for 90 days
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any, Literal, Protocol

import pydantic_core

from ..core.clock import to_micros
from ..core.errors import RunConflict, UnknownItem
from ..journal import Amendment, Cell, CellKey
from ..journal.cells import CellStore
from .port import Origin
from .remembered import ProposedWrite, Whose, item_id

__all__ = ["PROPOSAL", "HeldWrite", "Proposal", "Proposals"]

PROPOSAL = "memory_proposal"
WAITS, DECIDED = "waits/", "decided/"
DECIDED_FOR = timedelta(days=90)
"""So long is it told here what was decided; the audit log tells it for good."""
_PAGE = 1000

State = Literal["waits", "accepting", "accepted", "rejected"]


class _Cells(CellStore, Protocol):
    def now(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldWrite:
    """In place of what a write answers: it waits for a person."""

    proposal: str
    """`RUN/STEP`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A write that was held back, and what somebody has decided."""

    write: ProposedWrite
    at: int
    """microseconds, the store's clock"""
    state: State = "waits"
    by: str | None = None
    """who decided"""
    why: str = ""

    @property
    def id(self) -> str:
        """`RUN/STEP`, as that of the item that it will be."""
        return item_id(self.write.origin)


class Proposals:
    """The proposals of a store. Has no state of its own."""

    def __init__(self, store: _Cells) -> None:
        self._store = store

    async def put(self, write: ProposedWrite) -> None:
        """Hold a write back; once, however often it is asked for."""
        waits, decided = _keys(write.whose.tenant, write.origin.run, write.origin.step)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
            return ({} if cells else {waits: _cell(Proposal(write=write, at=now))}), None

        await self._store.amend(Amendment([waits, decided], change, subject=write.whose.subject))

    async def get(self, tenant: str, run: str, step: str) -> Proposal | None:
        """One, also when it is decided; None: nobody has proposed that."""
        for key in _keys(tenant, run, step):
            found = dict(await self._store.cells(PROPOSAL, tenant=tenant, prefix=key.name, limit=1))
            if key in found:
                return _proposal(found[key])
        return None

    async def ls(
        self, tenant: str, *, run: str | None = None, limit: int = 100, all: bool = False
    ) -> list[Proposal]:
        """Those that wait; with `all` also those that were decided in the last 90 days. By the runs that made them."""
        of = "" if run is None else f"{run}/"
        found: list[Proposal] = []
        for state in (WAITS, DECIDED) if all else (WAITS,):
            if len(found) < limit:
                page = await self._store.cells(
                    PROPOSAL, tenant=tenant, prefix=f"{state}{of}", limit=min(limit - len(found), _PAGE)
                )
                found += [_proposal(cell) for _, cell in page]
        return found

    async def waiting(self, *, before: int, limit: int = _PAGE) -> list[Proposal]:
        """Those of all tenants that have waited since before that time, as far as they can be read here."""
        page = await self._store.cells(PROPOSAL, prefix=WAITS, limit=limit)
        return [found for _, cell in page if (found := _proposal(cell)).at < before]

    async def decide(self, found: Proposal, state: State, *, by: str, why: str) -> Proposal:
        """Say what becomes of one. Raises `RunConflict` where somebody has decided otherwise."""
        waits, decided = _keys(found.write.whose.tenant, found.write.origin.run, found.write.origin.step)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Proposal]:
            cell = cells.get(decided) or cells.get(waits)
            if cell is None:
                raise UnknownItem(f"nothing was proposed as `{found.id}` any more: it was forgotten")
            there = _proposal(cell)
            if there.state == state:
                return {}, there  # done twice it is done once, and whoever was first has decided
            if there.state != "waits" and (there.state != "accepting" or state == "rejected"):
                raise RunConflict(
                    f"`{found.id}` was {there.state} by {there.by} already; "
                    "`perdure memory undo` withdraws what was accepted"
                )
            if state == "waits":
                made = replace(there, state=state, by=None, why="")
                return {waits: _cell(made)}, made
            made = replace(there, state=state, by=there.by or by, why=there.why or why)
            if state == "accepting":
                return {waits: _cell(made)}, made
            return {waits: None, decided: _cell(made, now + to_micros(DECIDED_FOR))}, made

        subject = found.write.whose.subject
        return await self._store.amend(Amendment([waits, decided], change, subject=subject))

    async def forget(self, tenant: str, subject: str) -> int:
        """Delete those about a data subject, decided or not; how many."""
        gone = 0
        behind: CellKey | None = None
        while page := await self._store.cells(PROPOSAL, tenant=tenant, after=behind, limit=_PAGE):
            behind = page[-1][0]
            keys = [key for key, cell in page if _proposal(cell).write.whose.subject == subject]
            gone += len(keys)
            if keys:
                await self._store.amend(Amendment(keys, lambda cells, now: (dict.fromkeys(cells), None)))
        return gone


def _keys(tenant: str, run: str, step: str) -> tuple[CellKey, CellKey]:
    """Where one stands while it waits, and once it is decided: whoever looks at the first reads none of the others."""
    name = f"{run}/{hashlib.sha256(step.encode()).hexdigest()[:32]}"
    return CellKey(tenant, PROPOSAL, f"{WAITS}{name}"), CellKey(tenant, PROPOSAL, f"{DECIDED}{name}")


def _cell(proposal: Proposal, due: int | None = None) -> Cell:
    write = proposal.write
    told = {
        "layer": write.layer,
        "subject": write.whose.subject,
        "agent": write.whose.agent,
        "tool": write.tool,
        "arguments": write.arguments,
        "origin": asdict(write.origin),
        "key": write.key,
        "tenant": write.whose.tenant,
        "at": proposal.at,
        "state": proposal.state,
        "by": proposal.by,
        "why": proposal.why,
    }
    return Cell(pydantic_core.to_json(told), due)


def _proposal(cell: Cell) -> Proposal:
    told: dict[str, Any] = pydantic_core.from_json(cell.data)
    origin = told["origin"]
    write = ProposedWrite(
        layer=told["layer"],
        whose=Whose(told["tenant"], told["subject"], told["agent"]),
        tool=told["tool"],
        arguments=told["arguments"],
        origin=Origin(run=origin["run"], step=origin["step"], labels=tuple(origin["labels"])),
        key=told["key"],
    )
    return Proposal(write=write, at=told["at"], state=told["state"], by=told["by"], why=told["why"])
