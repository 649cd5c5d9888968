"""Retention: runs that have ended lose their payloads when their time is over, and blobs that nobody names go too.

So do results in the cache, and what limits and breakers remember, once it says nothing any more.

Without a rule no run is ever pruned. Every worker does it, in small batches; what two do at once is done once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta

from ..core.clock import to_micros
from ..core.errors import StoreError, UnknownRun
from ..journal import RunStatus, Store

__all__ = ["BLOB_REST", "Retention", "Rules"]

log = logging.getLogger("perdure.worker")

Rules = Mapping[str, Mapping[RunStatus, timedelta]]
"""By agent and ending: how long after its end a run keeps its payloads."""

LOOK_SECONDS = 60.0
BATCH = 20
"""Runs of one agent and ending at a time."""

PASSING = (
    *("cache", "rate", "breaker", "listening", "said"),
    *("session_message", "session_value", "session_done", "memory_proposal", "working_mark", "working_item"),
)
"""Kinds of cells that are of no use once they are due."""
MOST_CELLS = 1000

BLOB_REST = timedelta(hours=1)
"""A blob that nobody names is kept so long after it was last asked for: longer than any transaction."""


class Retention:
    """Prunes by rules. They are asked for each time: a program may register agents while it works."""

    def __init__(self, store: Store, rules: Callable[[], Rules]) -> None:
        self._store = store
        self._rules = rules
        self._pruned = False

    async def run(self) -> None:
        """Look, prune, rest; for as long as the worker works."""
        while True:
            full = False
            try:
                full = await self.tick()
            except StoreError as error:
                log.warning("retention: %s; trying again later", error)
            await asyncio.sleep(0 if full else LOOK_SECONDS)

    async def tick(self) -> bool:
        """One batch. Whether there is more to do at once."""
        store, full = self._store, False
        for agent, rule in self._rules().items():
            for status, after in rule.items():
                before = store.now() - to_micros(after)
                refs = await store.overdue(agent=agent, status=status, before=before, limit=BATCH)
                for ref in refs:
                    try:
                        await store.prune(ref)
                    except UnknownRun:
                        continue
                if refs:
                    self._pruned = True
                    log.info(
                        "pruned %d runs of `%s` that ended %s over %s ago", len(refs), agent, status, after
                    )
                full = full or len(refs) == BATCH
        if self._pruned and not full:
            full = await store.collect(before=store.now() - to_micros(BLOB_REST), limit=BATCH) == BATCH
            self._pruned = full
        for kind in PASSING:
            gone = await store.forget_cells(kind, before=store.now(), limit=MOST_CELLS)
            full = full or gone == MOST_CELLS
        return full
