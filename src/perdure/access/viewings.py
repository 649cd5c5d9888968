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

from ..core.ids import RunRef, new_id
from ..core.principal import Principal
from ..journal import VIEWS_AGENT, Amendment, Cell, CellKey, Store
from ..runtime import Done, write_run
from .callers import Caller

if TYPE_CHECKING:
    from ..app import App

__all__ = ["Viewings", "What"]

log = logging.getLogger("perdure.access")

What = Literal["question", "step", "entries", "stream", "result", "export"]
"""What was looked at, of a run."""

_KIND = "view"
_MOST = 200
"""Things that one run records."""
_HOUR = 3_600_000_000
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
    await write_run(
        store,
        ref,
        VIEWS_AGENT,
        {"via": told["via"], "looked_at": len(told["seen"])},
        by=who,
        at=told["began"],
        done=_seen(told),
    )
    await store.amend(Amendment([key], lambda cells, now: ({key: None}, None)))


def _seen(told: Mapping[str, Any]) -> list[Done]:
    found: list[Done] = []
    seen: dict[str, tuple[int, int, int]] = told["seen"]
    for name, (first, last, times) in seen.items():
        run, what, step = name.split("\0")
        arguments: dict[str, Any] = {"run": run, "what": what, "via": told["via"], "times": times}
        if step:
            arguments["step"] = step
        found.append(Done(name="view", arguments=arguments, first=first, last=last))
    return found
