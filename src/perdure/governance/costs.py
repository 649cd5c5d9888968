"""What runs have cost: the charges in their journals, over many runs, without reading the rest of those."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import pydantic_core

from ..journal.entry import Kind
from ..journal.store import RunQuery, RunRecord, Store
from .ledger import Line

__all__ = ["Charged", "charges", "family", "pages"]

PAGE = 1000
"""Entries that are read at once."""

ASTRAY = 60_000_000
"""Microseconds by which a worker's estimate of the store's time is off at most, for leaving out whole runs."""


@dataclass(frozen=True, slots=True)
class Charged:
    """One charge of one run. What a child was charged is in the child's journal, and not once more in its parent's."""

    run: RunRecord
    at: int
    line: Line | None
    """None: it was taken away by a release that did not keep charges when it pruned"""


async def pages(store: Store, query: RunQuery) -> AsyncIterator[list[RunRecord]]:
    """All runs that match, newest first, page by page."""
    while page := await store.find(query):
        yield page
        if len(page) < query.limit:
            return
        query = replace(query, before=page[-1].rid)


async def family(store: Store, run: RunRecord) -> list[RunRecord]:
    """A run, its children, and theirs."""
    found, ahead = [run], [run]
    while ahead:
        parent = ahead.pop().ref
        async for page in pages(store, RunQuery(tenant=parent.tenant, parent=parent.id)):
            found += page
            ahead += page
    return found


async def charges(
    store: Store, runs: Sequence[RunRecord], *, since: int | None = None, until: int | None = None
) -> AsyncIterator[Charged]:
    """What some runs were charged, from `since` on and before `until` (microseconds), by run and in order."""
    by_rid = {
        run.rid: run
        for run in runs
        if (since is None or run.updated_at >= since - ASTRAY)
        and (until is None or run.created_at < until + ASTRAY)
    }
    after = (0, 0)
    while by_rid:
        page = await store.of_kind(Kind.CHARGED, tuple(by_rid), after=after, limit=PAGE)
        for rid, entry in page:
            if (since is not None and entry.at < since) or (until is not None and entry.at >= until):
                continue
            if entry.erased:
                yield Charged(by_rid[rid], entry.at, None)
                continue
            line = Line.of(entry, pydantic_core.from_json(entry.payload))
            if line.what != "child":
                yield Charged(by_rid[rid], entry.at, line)
        if len(page) < PAGE:
            return
        rid, entry = page[-1]
        after = (rid, entry.seq)
