"""Sends spans as they are over: a cursor in the audit log, kept by one process at a time, under a lease.

    audit log ─► leaf: a run's journal went from one entry to another ─► fold ─► spans ─► sent ─► the cursor is kept

Whoever dies between the last two sends the same spans again, by the same ids: receivers keep the first. Nothing is sent
twice on purpose, as a span is told when nothing of it will change any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress

from ...audit.follower import Follower
from ...core.errors import StoreError
from ...core.ids import DEFAULT_TENANT, RunRef, new_id
from ...journal import CellKey, Leaf, Store
from .conventions import Profile
from .fold import SpanFold
from .otlp import Sink
from .span import Span

__all__ = ["KIND", "SpanExporter"]

log = logging.getLogger("perdure.telemetry")

KIND = "span_export"
"""Of the cell that says how far spans were sent, and by whom."""

LOOK_SECONDS = 0.5
RETRY_SECONDS = 5.0
LEASE_MICROS = 30_000_000
LEAVES = 64
"""Of the audit log, read together."""
ENTRIES = 1000
RUNS = 2000
"""Whose fold is kept: of another that goes on, the journal is read from its beginning."""
MOST = 512
"""Spans of one request; what the exporters of OpenTelemetry send at once."""


class SpanExporter:
    """Follows the journals of a store, and sends their spans. Of each `name` there is a cursor."""

    def __init__(
        self, store: Store, sink: Sink, *, profile: Profile, contents: bool = False, name: str = "otlp"
    ) -> None:
        self._store = store
        self._sink = sink
        self._profile = profile
        self._contents = contents
        key = CellKey(DEFAULT_TENANT, KIND, name)
        self.follower = Follower(store, key, holder=new_id(), lease=LEASE_MICROS)
        """how far it is"""
        self._folds: OrderedDict[RunRef, tuple[SpanFold, int]] = OrderedDict()

    async def run(self) -> None:
        """Look, send, rest; for as long as the worker or the server lives."""
        try:
            while True:
                pause = LOOK_SECONDS
                try:
                    while await self.tick():
                        pass
                except (StoreError, ConnectionError) as error:
                    log.warning("spans: %s; trying again later", error)
                    pause = RETRY_SECONDS
                except Exception:
                    log.exception("a fault in the exporter of spans; it goes on")
                    pause = RETRY_SECONDS
                await asyncio.sleep(pause)
        finally:
            with suppress(StoreError):
                await self.follower.release()
            await asyncio.to_thread(self._sink.close)

    async def tick(self) -> bool:
        """Send what is over behind the cursor. Whether there may be more.

        Raises `ConnectionError` where the receiver took nothing: it is sent again, in the same order.
        """
        held = await self.follower.take({"place": -1})
        if held is None:
            return False  # another process sends
        place = int(held["place"])
        page = await self._store.leaves(after=place, limit=LEAVES)
        if not page:
            return False
        spans: list[Span] = []
        for leaf in page:
            spans += await self._of(leaf)
            if len(spans) >= MOST:
                await self._send(spans)
                spans = []
        await self._send(spans)
        return await self.follower.keep({"place": page[-1].n}) and len(page) == LEAVES

    async def place(self) -> int:
        """The last leaf of the audit log whose spans were sent; -1: none was."""
        state = await self.follower.state()
        return -1 if state is None else int(state["place"])

    async def _send(self, spans: Sequence[Span]) -> None:
        for n in range(0, len(spans), MOST):
            if not await asyncio.to_thread(self._sink.send, spans[n : n + MOST]):
                self._folds.clear()  # what they have told is told again
                raise ConnectionError("the receiver of traces took nothing")

    async def _of(self, leaf: Leaf) -> list[Span]:
        known = self._folds.pop(leaf.run, None)
        if known is not None and known[1] == leaf.since:
            fold, after = known
        else:
            record = await self._store.get(leaf.run)
            if record is None:
                return []
            fold, after = SpanFold.of(record, profile=self._profile, contents=self._contents), 0
        found: list[Span] = []
        while after < leaf.seq:
            entries = await self._store.read(leaf.run, after=after, limit=min(ENTRIES, leaf.seq - after))
            if not entries:
                break
            for entry in entries:
                over = fold.see(entry)
                if entry.seq > leaf.since:
                    found += over
            after = entries[-1].seq
        self._folds[leaf.run] = fold, after
        if len(self._folds) > RUNS:
            self._folds.popitem(last=False)
        return found
