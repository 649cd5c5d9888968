"""Bookkeeping: what runs held of shared budgets when they were ended from outside comes back; old accounts go.

And what else an app asks to be looked after.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from ..core.errors import StoreError
from ..governance import Treasury

__all__ = ["Bookkeeping"]

log = logging.getLogger("perdure.worker")

LOOK_SECONDS = 60.0


class Bookkeeping:
    """Sweeps the accounts. Every worker does it; what two do at once is done once."""

    def __init__(self, treasury: Treasury, others: Sequence[Callable[[], Awaitable[object]]] = ()) -> None:
        self._sweeps = [("shared budgets", treasury.sweep), *(("connections", sweep) for sweep in others)]

    async def run(self) -> None:
        """Rest, sweep, for as long as the worker works: one that just began has nothing to sweep behind itself."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for what, sweep in self._sweeps:
                try:
                    await sweep()
                except StoreError as error:
                    log.warning("%s: %s; trying again later", what, error)
