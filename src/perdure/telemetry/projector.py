"""The projector: folds what is new in journals into figures of runs and tallies, within a second or two.

None leads. A projector reads what stands behind the audit log's leaves, folds it, and writes that with the number that
it began at; where another was first, nothing of it is written, and it rests a while, so that one does the work.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from ..audit import LogGrower
from ..core.errors import StoreError
from ..journal import Entry, FiguresRow, Projected, Store, TallyKey, ToFold
from .fold import READ_KINDS, RunFold
from .parts import Whose, add_standing, add_tallies

__all__ = ["Projector", "Rebuilt"]

log = logging.getLogger("perdure.telemetry")

LOOK_SECONDS = 0.5
RETRY_SECONDS = 5.0
LOST_SECONDS = 5.0
"""At least so long who was beaten to it rests: then there are not two who read the same."""

UNSEEN_LOOKS = 6
"""After so many looks at which the audit log stood still though heads had moved, nobody else sees to it."""

RUNS = 256
"""Leaves of the audit log that are folded in one transaction."""

ENTRIES = 5000
"""Entries that are read at once."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How far a rebuild has come, in leaves of the audit log."""

    done: int
    of: int


class Projector:
    """Keeps the projections of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waits_for: int | None = None
        """the size of the audit log when it was first seen that it is behind"""
        self._waited = 0

    def __str__(self) -> str:
        return "projector"

    async def run(self) -> None:
        """Look, fold, rest; for as long as whoever has it works."""
        while True:
            pause = LOOK_SECONDS
            try:
                done = await self.tick()
                while done:
                    done = await self.tick()
                if done is None:
                    pause = LOST_SECONDS * (1 + random.random())
                await self._see_to_the_log()
            except StoreError as error:
                log.warning("the projections: %s; trying again later", error)
                pause = RETRY_SECONDS
            except Exception:
                log.exception("a fault in the projector; it goes on")
                pause = RETRY_SECONDS
            await asyncio.sleep(pause)

    async def tick(self) -> bool | None:
        """Fold a page, where there is something to fold. Whether there may be more; None: another was first."""
        place = await self._store.projected()
        if not place.behind:
            return False
        page = await self._store.unfolded(limit=RUNS)
        folding = [_Folding(to_fold) for to_fold in page.runs]
        await self._read(folding)
        tallies: dict[TallyKey, list[int]] = {}
        rows = [one.count(tallies) for one in folding]
        if not await self._store.fold(page.cursor, page.next, rows, tallies):
            return None
        return page.next < place.size - 1

    async def _see_to_the_log(self) -> None:
        """Where no worker lives, nobody brings heads under the audit log, which runs are found by: then do it here.

        Workers go first, for they sign it; an unsigned tree is signed by the next of them.
        """
        size = await self._store.log_size()
        if not await self._store.moved():
            self._waits_for = None
        elif self._waits_for != size:
            self._waits_for, self._waited = size, 0
        elif (waited := self._waited + 1) < UNSEEN_LOOKS:
            self._waited = waited
        else:
            await self._integrate()

    async def _integrate(self) -> None:
        while (await self._store.integrate(LogGrower())).more:
            pass

    async def bring_up(self) -> Projected:
        """Fold all that was written so far, also what nobody has brought under the audit log yet."""
        await self._integrate()
        return await self.catch_up()

    async def catch_up(self) -> Projected:
        """Fold all that the audit log has so far, whoever else folds."""
        while (place := await self._store.projected()).behind:
            await self.tick()
        return place

    async def rebuild(self) -> AsyncIterator[Rebuilt]:
        """Drop the projections and make them again; how far that has come, page by page."""
        await self._integrate()
        until = await self._store.drop_projections()
        while True:
            place = await self._store.projected()
            yield Rebuilt(min(place.cursor, until) + 1, until + 1)
            if place.until is None:
                return
            await self.tick()

    async def _read(self, folding: Sequence[_Folding]) -> None:
        """Show each the entries behind those that it has seen; page by page, however long a journal is."""
        by_rid = {one.run.rid: one for one in folding}
        ahead = sorted(by_rid)
        while ahead:
            after = [(rid, by_rid[rid].fold.folded) for rid in ahead]
            page = await self._store.traces(after, READ_KINDS, limit=ENTRIES)
            for rid, entry in page:
                by_rid[rid].see(entry)
            if len(page) < ENTRIES:
                return
            last = page[-1][0]
            ahead = [rid for rid in ahead if rid >= last]


class _Folding:
    """One run that is being folded."""

    def __init__(self, to_fold: ToFold) -> None:
        self.run = to_fold.run
        self._row = to_fold.row
        self._stale = to_fold.stale
        row = to_fold.row
        self.fold = RunFold() if row is None or to_fold.stale else RunFold(row.state, goal=row.goal)

    def see(self, entry: Entry) -> None:
        """One more entry."""
        fold = self.fold
        if entry.seq <= fold.folded:
            return
        fold.see(entry)
        if fold.erased and self._stale and self._row is not None and entry.seq <= self._row.folded:
            # Taken away since it was folded: what it came to then stands, and the fold goes on from there.
            self.fold = RunFold(self._row.state, goal=self._row.goal)

    def count(self, tallies: dict[TallyKey, list[int]]) -> FiguresRow:
        """Add to the tallies what is new; the row of the run."""
        fold, whose = self.fold, Whose.of(self.run)
        now, was = fold.outcome, fold.was_outcome
        add_tallies(tallies, whose, fold.new.counts, now)
        if self._stale:
            add_tallies(tallies, whose, fold.parts, now)
        elif now != was:
            add_tallies(tallies, whose, fold.parts, was, sign=-1, hours=False)
            add_tallies(tallies, whose, fold.parts, now, hours=False)
        before = "" if self._stale else fold.was_standing
        if before != fold.standing:
            for standing, sign in ((before, -1), (fold.standing, 1)):
                if standing:
                    add_standing(tallies, whose, standing, sign)
        personal = self.run.subject is not None
        return FiguresRow(
            rid=self.run.rid,
            folded=fold.folded,
            goal=None if personal else fold.goal,
            money=fold.figures.get("money", 0),
            figures=fold.shown().told(),
            state=fold.told(),
        )
