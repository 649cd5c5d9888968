"""Writes that wait for a person: what an untrusted source would have an agent remember, before anybody recalls it.

A proposal is a write that was not done. It is in no layer, so no run recalls it, that which proposed it neither; nor
can it push aside what is there. Accepted it is done as the run would have done it, under its own key and origin: once,
whoever dies in the middle.

    memory_proposal    RUN/hash of the step    the write, and what was decided
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol

import pydantic_core

from ..core.errors import RunConflict, UnknownItem
from ..journal import Amendment, Cell, CellKey
from ..journal.cells import CellStore
from .port import Origin
from .remembered import ProposedWrite, Whose, item_id

__all__ = ["PROPOSAL", "HeldWrite", "Proposal", "Proposals"]

PROPOSAL = "memory_proposal"
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
        key = _key(write.whose.tenant, write.origin.run, write.origin.step)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
            if key in cells:
                return {}, None
            return {key: _cell(Proposal(write=write, at=now))}, None

        await self._store.amend(Amendment([key], change, subject=write.whose.subject))

    async def get(self, tenant: str, run: str, step: str) -> Proposal | None:
        """One, also when it is decided; None: nobody has proposed that."""
        key = _key(tenant, run, step)
        found = dict(await self._store.cells(PROPOSAL, tenant=tenant, prefix=key.name, limit=1))
        return None if key not in found else _proposal(found[key])

    async def ls(
        self, tenant: str, *, after: Proposal | None = None, limit: int = 100, all: bool = False
    ) -> list[Proposal]:
        """Those that wait, or `all`; by the runs that made them. So does what somebody began to accept."""
        behind = None if after is None else _key(tenant, after.write.origin.run, after.write.origin.step)
        found: list[Proposal] = []
        while len(found) < limit:
            page = await self._store.cells(PROPOSAL, tenant=tenant, after=behind, limit=_PAGE)
            found += [p for _, cell in page if (p := _proposal(cell)).state in ("waits", "accepting") or all]
            if not page:
                break
            behind = page[-1][0]
        return found[:limit]

    async def decide(self, found: Proposal, state: State, *, by: str, why: str) -> Proposal:
        """Say what becomes of one. Raises `RunConflict` where somebody has decided otherwise."""
        key = _key(found.write.whose.tenant, found.write.origin.run, found.write.origin.step)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Proposal]:
            there = _proposal(cells[key]) if key in cells else None
            if there is None:
                raise UnknownItem(f"nothing was proposed as `{found.id}` any more: it was forgotten")
            if there.state == state:
                return {}, there  # done twice it is done once, and whoever was first has decided
            if there.state != "waits" and (there.state != "accepting" or state == "rejected"):
                raise RunConflict(
                    f"`{found.id}` was {there.state} by {there.by} already; "
                    "`perdure memory undo` withdraws what was accepted"
                )
            made = replace(there, state=state, by=there.by or by, why=there.why or why)
            if state == "waits":
                made = replace(there, state=state, by=None, why="")
            return {key: _cell(made)}, made

        return await self._store.amend(Amendment([key], change, subject=found.write.whose.subject))

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


def _key(tenant: str, run: str, step: str) -> CellKey:
    return CellKey(tenant, PROPOSAL, f"{run}/{hashlib.sha256(step.encode()).hexdigest()[:32]}")


def _cell(proposal: Proposal) -> Cell:
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
    return Cell(pydantic_core.to_json(told))


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
