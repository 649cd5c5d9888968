"""Bookkeeping: what runs held of shared budgets when they were ended from outside comes back; old accounts go."""

from __future__ import annotations

import asyncio
import logging

from ..core.errors import StoreError
from ..governance import Treasury

__all__ = ["Bookkeeping"]

log = logging.getLogger("perdure.worker")

LOOK_SECONDS = 60.0


class Bookkeeping:
    """Sweeps the accounts. Every worker does it; what two do at once is done once."""

    def __init__(self, treasury: Treasury) -> None:
        self._treasury = treasury

    async def run(self) -> None:
        """Rest, sweep, for as long as the worker works: one that just began has nothing to sweep behind itself."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._treasury.sweep()
            except StoreError as error:
                log.warning("shared budgets: %s; trying again later", error)
