"""Following journals as they grow."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from ...app import App
from ...core.errors import UnknownRun
from ...core.ids import RunRef
from ...journal import ENDINGS, Entry, RunQuery, RunRecord, Store

__all__ = ["follow", "follow_all", "record_of"]

LOOK_SECONDS = 0.5
"""Within this a change is seen, also where the store's own notice should fail."""

PAGE = 1000
"""Entries read at once."""


async def record_of(app: App, run: str) -> RunRecord:
    """The row of a run. Raises `UnknownRun`."""
    ref = app.ref(run)
    record = await app.store.get(ref)
    if record is None:
        raise UnknownRun(f"no run `{ref}`; `perdure runs ls` shows what there is")
    return record


async def follow(
    app: App, ref: RunRef, *, after: int = 0, forever: bool = True
) -> AsyncGenerator[tuple[RunRecord, list[Entry]]]:
    """New entries of a run with its row, whenever there are any or it stands elsewhere, until it has ended.

    The row is at least as new as the entries. With `forever` false: what is there now.
    """
    store = app.store
    stood: object = None
    while True:
        seen = store.changes()
        record = await store.get(ref)
        if record is None:
            raise UnknownRun(f"no run `{ref}`")
        stands = (record.status, record.reasons)
        while record.head > after and (entries := await store.read(ref, after=after, limit=PAGE)):
            after = entries[-1].seq
            stood = stands
            yield record, entries
        if stands != stood:
            stood = stands
            yield record, []
        if record.status in ENDINGS or not forever:
            return
        await store.changed(seen, within=LOOK_SECONDS)


async def follow_all(
    store: Store, tenant: str, *, limit: int = 200
) -> AsyncGenerator[tuple[RunRecord, list[Entry]]]:
    """New entries of the newest runs, from now on, for ever."""
    query = RunQuery(tenant=tenant, limit=limit)
    heads = {r.ref: r.head for r in await store.find(query)}
    while True:
        seen = store.changes()
        for record in reversed(await store.find(query)):
            known = heads.get(record.ref, 0)
            if record.head > known:
                entries = await store.read(record.ref, after=known)
                heads[record.ref] = entries[-1].seq
                yield record, entries
        await store.changed(seen, within=LOOK_SECONDS)
