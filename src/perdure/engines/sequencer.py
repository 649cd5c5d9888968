"""The sequencer: brings the heads of runs under the audit log, within a second.

Every worker has one. None leads: an integration is one transaction that has the log to itself, so of two that look at
once one does it all and the other nothing, and one that dies has done nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from ..audit import LogGrower, Signer
from ..core.errors import StoreCorrupt, StoreError
from ..journal import Store

__all__ = ["Sequencer"]

log = logging.getLogger("perdure.audit")

LOOK_SECONDS = 0.4
"""Between two looks: a head is in the log within a second of its commit, also where the disk is slow."""

RETRY_SECONDS = 5.0

SWEEP_SECONDS = 10.0
"""Between two looks at runs whose heads nobody may have told of: 2,000 at a time, a million in an hour and a half."""

REST_SECONDS = 3600.0
"""Until all of them are looked at again."""

UNSIGNED_LOOKS = 25
"""After so many looks a tree that somebody without a key has grown is signed."""


class Sequencer:
    """Integrates what moved. `signer`: whose checkpoints come of it; None: none do."""

    def __init__(self, store: Store, signer: Signer | None = None) -> None:
        self._store = store
        self._grower = LogGrower(signer)
        self._signs = signer is not None
        self._quiet = UNSIGNED_LOOKS
        """looks since it was last asked for a checkpoint"""
        self._swept = 0
        self._sweep_at = 0.0

    async def run(self) -> None:
        """Look, integrate, rest; for as long as the worker works, and once more when it stops."""
        try:
            await self._go_on()
        except asyncio.CancelledError:
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.tick()
            raise

    async def _go_on(self) -> None:
        while True:
            pause = LOOK_SECONDS
            try:
                await self._sweep()
                while await self.tick():
                    pass
            except StoreCorrupt as error:
                log.critical("THE AUDIT LOG IS NOT WHAT WAS WRITTEN: %s", error)
                pause = 60.0
            except StoreError as error:
                log.warning("the audit log: %s; trying again later", error)
                pause = RETRY_SECONDS
            except Exception:
                log.exception("a fault in the sequencer; it goes on")
                pause = RETRY_SECONDS
            await asyncio.sleep(pause)

    async def _sweep(self) -> None:
        """Over all runs, again and again: what an older release moves beside this one is told to nobody."""
        now = asyncio.get_running_loop().time()
        if now >= self._sweep_at:
            last = await self._store.look_for_moved(after=self._swept)
            self._swept = last or 0
            self._sweep_at = now + (REST_SECONDS if last is None else SWEEP_SECONDS)

    async def tick(self) -> bool:
        """One integration, where there is something to integrate. Whether there may be more."""
        self._quiet += 1
        if not await self._store.moved() and not (self._signs and self._quiet > UNSIGNED_LOOKS):
            return False
        self._quiet = 0
        done = await self._store.integrate(self._grower)
        return done.more

    async def catch_up(self) -> int:
        """Integrate everything that moved so far, and have it signed. Returns the size of the log."""
        while (done := await self._store.integrate(self._grower)).more:
            pass
        return done.size
