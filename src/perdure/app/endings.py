"""Who waits for the end of a run is told, whichever process has ended it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from ..core.errors import RunPruned, StoreCorrupt, UnknownRun
from ..core.ids import RunRef
from ..journal import Entry, Kind, RunRecord, Store

__all__ = ["LOOK_SECONDS", "Endings", "ending_of"]

MOST_REMEMBERED = 1024
"""Endings of this process's own worker that are kept for whoever asks a little later."""

BEHIND = 8
"""Entries that are read at once in search of an end: what was added behind it is seldom more."""

LOOK_SECONDS = 0.25
"""How often the endings of other processes' workers are looked for."""


class Endings:
    """Tells those who wait that their run has ended, here or in another process.

    One look at the store serves all who wait; this process's own worker tells by itself, with the ending's payload.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.worker: asyncio.Task[None] | None = None
        """the worker of this process; its failure is raised to those who wait"""
        self._waiting: dict[RunRef, asyncio.Future[bytes]] = {}
        self._remembered: OrderedDict[RunRef, bytes] = OrderedDict()
        self._looking: asyncio.Task[None] | None = None

    def told(self, ref: RunRef, payload: bytes) -> None:
        """The worker of this process has ended a run; `payload` is that of its last entry."""
        future = self._waiting.pop(ref, None)
        if future is not None and not future.done():
            future.set_result(payload)
            return
        self._remembered[ref] = payload
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    async def wait(self, ref: RunRef, *, fresh: bool = False) -> bytes:
        """The payload of the run's last entry, once it has ended. `fresh`: it was accepted here, a moment ago."""
        payload = self._remembered.pop(ref, None)
        if payload is not None:
            return payload
        if not (fresh and self.worker is not None) and await self.store.ended([ref]):
            return await self._last(ref)
        future = self._waiting.setdefault(ref, asyncio.get_running_loop().create_future())
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(future)

    async def _last(self, ref: RunRef) -> bytes:
        record = await self.store.get(ref)
        if record is None:
            raise UnknownRun(f"no run `{ref}`")
        if record.pruned_at is not None:
            raise RunPruned(f"run `{ref}` was pruned: it ended `{record.status}`, and its result is gone")
        return (await ending_of(self.store, record)).payload

    async def _look(self) -> None:
        """Look for endings as long as somebody waits."""
        try:
            while self._waiting:
                seen = self.store.changes()
                for ref in await self.store.ended(list(self._waiting)):
                    try:
                        self.told(ref, await self._last(ref))
                    except RunPruned as error:
                        self._waiting.pop(ref).set_exception(error)
                worker = self.worker
                if worker is None:
                    await self.store.changed(seen, within=1.0)
                else:
                    await asyncio.wait({worker}, timeout=LOOK_SECONDS)
                    if worker.done():
                        worker.result()
        except BaseException as error:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(error)
            self._waiting.clear()
            if not isinstance(error, Exception):
                raise


async def ending_of(store: Store, record: RunRecord) -> Entry:
    """The ENDED entry of a run that has ended: its last, but for what was added to it since."""
    after = record.head
    while after:
        before, after = after, max(0, after - BEHIND)
        for entry in reversed(await store.read(record.ref, after=after, limit=before - after)):
            if entry.kind == Kind.ENDED:
                return entry
    raise StoreCorrupt(
        f"run `{record.ref}` is `{record.status}`, and its journal has no end: restore the store from a backup"
    )
