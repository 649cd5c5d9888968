"""Who has looked at which payload: nobody is shown one before it is on disk that they were.

    page, answer, stream ─► `saw` ─► cell `view` of that person (the same again is counted) ─► what was asked for
                                          └─ full, or an hour old, or an auditor asks ─► a run of `perdure.views`

Such a run is written whole: a call of `view` for each thing that was looked at, with when, how often, and by what
means. So `perdure audit who-did view --person ann` finds it, it is in the audit log, and in what is exported.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pydantic_core

from ..core.digests import arguments_digest
from ..core.ids import RunRef, new_id
from ..core.principal import Principal
from ..journal import (
    VIEWS_AGENT,
    Amendment,
    Append,
    Cell,
    CellKey,
    Change,
    Entry,
    Kind,
    RunStatus,
    Store,
    seal,
)
from ..runtime import new_run
from ..runtime.agent import AgentName
from .callers import Caller

if TYPE_CHECKING:
    from ..app import App

__all__ = ["VIEWS", "Viewings", "What"]

log = logging.getLogger("perdure.access")

VIEWS = AgentName(VIEWS_AGENT, "1")
"""The agent of the runs that record who looked. No worker serves it: such a run is written whole."""

What = Literal["question", "step", "entries", "stream", "result", "export"]
"""What was looked at, of a run."""

_KIND = "view"
_MOST = 200
"""Things that one run records."""
_HOUR = 3_600_000_000
_DAY = 24 * _HOUR
_AGAIN_SECONDS = 30.0


class Viewings:
    """Records who looked, for one server. Give its `run` to whatever goes on beside requests."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __repr__(self) -> str:
        return "the record of who looked at what"

    async def saw(self, caller: Caller, what: What, *seen: RunRef | tuple[RunRef, str]) -> None:
        """Write down that somebody is about to be shown payloads: of runs, or of single steps. On disk when it returns.

        Whoever is not shown payloads has seen none: nothing is written for them.
        """
        if not caller.sees_payloads or not seen:
            return
        await self._app.open()
        things = [(thing, "") if isinstance(thing, RunRef) else thing for thing in seen]
        named = [f"{run.id}\0{what}\0{step}" for run, step in things]
        for start in range(0, len(named), _MOST):
            await self._note(caller, named[start : start + _MOST])

    async def _note(self, caller: Caller, named: Sequence[str]) -> None:
        whose = hashlib.sha256(f"{caller.subject}\0{caller.via}".encode()).hexdigest()[:32]
        standing, full = (
            CellKey(caller.tenant, _KIND, name) for name in (f"open/{whose}", f"full/{new_id()}")
        )

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
            cell = cells.get(standing)
            told: dict[str, Any] = {} if cell is None else pydantic_core.from_json(cell.data)
            written: dict[CellKey, Cell | None] = {}
            fresh = [name for name in named if name not in told.get("seen", {})]
            if told and len(told["seen"]) + len(fresh) > _MOST:
                written[full] = Cell(pydantic_core.to_json(told), now)
                told = {}
            if not told:
                told = {"who": caller.principal.told(), "via": caller.via, "began": now, "seen": {}}
            for name in named:
                first, _, times = told["seen"].get(name, (now, now, 0))
                told["seen"][name] = (first, now, times + 1)
            written[standing] = Cell(pydantic_core.to_json(told), told["began"] + _HOUR)
            return written, None

        await self._app.store.amend(Amendment([standing, full], change))

    # writing up ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write up what is full or an hour old, for as long as the server lives."""
        while True:
            await self.write_up()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def write_up(self, *, tenant: str | None = None, all: bool = False) -> int:
        """Make runs of what is due, or of `all` that is there; how many. Several may do so at once."""
        await self._app.open()
        store = self._app.store
        if all:
            found = await store.cells(_KIND, tenant=tenant)
        else:
            found = await store.due_cells(_KIND)
        written = 0
        for key, cell in found:
            if key.name.startswith("open/"):
                key, cell = await _taken(store, key)
            if cell is not None:
                await _write(store, key, cell)
                written += 1
        return written


async def _taken(store: Store, standing: CellKey) -> tuple[CellKey, Cell | None]:
    """Set aside what is to be written up: what is seen meanwhile begins anew."""
    full = CellKey(standing.tenant, _KIND, f"full/{new_id()}")

    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Cell | None]:
        cell = cells.get(standing)
        if cell is None:
            return {}, None
        moved = Cell(cell.data, now)
        return {standing: None, full: moved}, moved

    return full, await store.amend(Amendment([standing, full], change))


async def _write(store: Store, key: CellKey, cell: Cell) -> None:
    """One run, whose id is that of the cell: whoever finishes this for somebody else writes it once."""
    told: dict[str, Any] = pydantic_core.from_json(cell.data)
    who = Principal.read(told["who"])
    ref = RunRef(key.tenant, f"views-{key.name.partition('/')[2]}")
    body = pydantic_core.to_json({"via": told["via"], "looked_at": len(told["seen"])})
    now = store.now()
    new = new_run(
        ref,
        VIEWS,
        body,
        key=await store.tenant_key(key.tenant),
        at=told["began"],
        actor=who.subject,
        due=now + _DAY,  # nobody claims it before it is whole
        on_behalf_of=who,
    )
    await store.create(new)
    claim = await store.seize(ref)
    if claim is not None:
        entries: list[Entry] = []
        previous, seq = claim.run.head_hash, claim.run.head
        for kind, step, at, took, payload in _lines(told, now):
            seq += 1
            made = seal(previous, kind, seq, claim.run.epoch, at, took, step, who.subject, b"", payload)
            entries.append(made)
            previous = made.hash
        change = Change(status=RunStatus.SUCCEEDED, guarded=False)
        await store.append(Append(claim.run.rid, claim.run.epoch, claim.run.head, tuple(entries), 0, change))
    await store.amend(Amendment([key], lambda cells, now: ({key: None}, None)))


def _lines(told: Mapping[str, Any], now: int) -> list[tuple[Kind, str, int, int, bytes]]:
    """Kind, step, time, how long it took, payload."""
    lines: list[tuple[Kind, str, int, int, bytes]] = []
    seen: dict[str, tuple[int, int, int]] = told["seen"]
    for number, (name, (first, last, times)) in enumerate(seen.items(), 1):
        run, what, step = name.split("\0")
        arguments: dict[str, Any] = {"run": run, "what": what, "via": told["via"], "times": times}
        if step:
            arguments["step"] = step
        intent = {
            "tool": "view",
            "effect": "write",
            "arguments": arguments,
            "digest": arguments_digest(arguments),
            "attempt": 1,
        }
        key = "view" if number == 1 else f"view:{number}"
        lines.append((Kind.INTENT, key, first, 0, pydantic_core.to_json(intent)))
        lines.append((Kind.RESULT, key, last, last - first, b"null"))
    ended: dict[str, Any] = {"status": RunStatus.SUCCEEDED, "result": None, "undelivered": []}
    lines.append((Kind.ENDED, "", now, 0, pydantic_core.to_json(ended)))
    return lines
