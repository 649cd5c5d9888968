"""Runs as they move, for many who look on at once: one look at the store serves all of them.

    store.changes() ──► Watch: what of the runs that somebody looks at has moved? ──► each Onlooker of those runs

A look costs one read of a row for each run that is looked at, however many look at it, and there are at most a few a
second. Nobody is told what has changed: who is woken reads the journal from where it stood, so that nothing is lost
where two changes come as one, nor after a reconnect.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self

from ..core.errors import StoreError
from ..core.ids import RunRef
from ..journal import RunRecord, Store

__all__ = ["Onlooker", "Watch"]

log = logging.getLogger("perdure.server")

LOOK_SECONDS = 0.5
"""Within this a change is seen, also where the store's own notice should fail."""

REST_SECONDS = 0.1
"""Between two looks: what moves more often than that is seen as one move."""


class Watch:
    """Looks after the runs of one store for all who look on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._onlookers: dict[RunRef, set[Onlooker]] = {}
        self._looking: asyncio.Task[None] | None = None

    @property
    def onlookers(self) -> int:
        """How many look on."""
        return sum(len(some) for some in self._onlookers.values())

    def on(self, ref: RunRef) -> Onlooker:
        """Look at a run, within `async with`."""
        return Onlooker(self, ref)

    def add(self, onlooker: Onlooker) -> None:
        """An onlooker comes."""
        self._onlookers.setdefault(onlooker.ref, set()).add(onlooker)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="perdure watch")

    def drop(self, onlooker: Onlooker) -> None:
        """It goes."""
        some = self._onlookers[onlooker.ref]
        some.discard(onlooker)
        if not some:
            del self._onlookers[onlooker.ref]

    async def _look(self) -> None:
        store = self._store
        while self._onlookers:
            seen = store.changes()
            for ref in list(self._onlookers):
                try:
                    record = await store.get(ref)
                except (
                    StoreError
                ) as error:  # it comes back, or the process ends; who looks on waits meanwhile
                    log.warning("the store cannot be looked at: %s", error)
                    break
                for onlooker in self._onlookers.get(ref, ()):
                    onlooker.see(record)
            await asyncio.sleep(REST_SECONDS)
            if store.changes() == seen:
                await store.changed(seen, within=LOOK_SECONDS)


class Onlooker:
    """One who looks at a run. The row that it has is as new as the last look."""

    def __init__(self, watch: Watch, ref: RunRef) -> None:
        self.ref = ref
        self.moved = asyncio.Event()
        self._watch = watch
        self._record: RunRecord | None = None
        self._stood: object = None

    async def __aenter__(self) -> Self:
        self._watch.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.drop(self)

    def see(self, record: RunRecord | None) -> None:
        """The run's row as it was found; None: there is no such run."""
        stands = None if record is None else (record.head, record.status, record.reasons, record.progress)
        if self._record is None or stands != self._stood:
            self._record, self._stood = record, stands
            self.moved.set()

    async def next(self, *, within: float) -> RunRecord | None:
        """The row, once it has moved since this was asked last; None: not within so many seconds."""
        try:
            async with asyncio.timeout(within):
                await self.moved.wait()
        except TimeoutError:
            return None
        self.moved.clear()
        return self._record
