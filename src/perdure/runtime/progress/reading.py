"""A handover, read from a store: the rows of a series' runs, their PROGRESS entries, and the cells of its items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pydantic_core

from ...journal import Entry, Kind, RunQuery, RunRecord, Store
from .fold import MOST_RUNS, fold
from .items import kept_items
from .records import SERIES_LABEL, Handover

__all__ = ["read_handover", "runs_of"]

_RUNS = 200
_ENTRIES = 1000


async def read_handover(
    store: Store, tenant: str, series: str, *, key: bytes, subject: str | None, but: str | None = None
) -> tuple[Handover, dict[str, RunRecord]]:
    """What the series hands over to a run that handles `subject`'s data, and its runs by id.

    `key` is that of the fingerprints of such runs, `but` the id of the run that asks.
    """
    # cells before journals: of what changes between, the later is seen, and a claim is tried against the cell again
    kept = await kept_items(store, tenant, series, key)
    records = await runs_of(store, tenant, series)
    mine = [record.rid for record in records if record.subject == subject]
    told = await _of_kind(store, Kind.PROGRESS, mine)
    last = [record for record in records if record.parent is None][-MOST_RUNS - 1 :]
    ended = await _of_kind(store, Kind.ENDED, [r.rid for r in last if r.subject == subject])
    before = [record for record in records if record.parent is None and record.ref.id != but]
    handover = fold(
        series,
        records,
        told,
        kept=kept,
        subject=subject,
        number=len(before) + 1,
        but=but,
        labels=frozenset(label for _, entry in ended for label in _labels(entry)),
    )
    return handover, {record.ref.id: record for record in records}


async def runs_of(store: Store, tenant: str, series: str) -> list[RunRecord]:
    """All runs of a series, the oldest first."""
    query = RunQuery(tenant=tenant, labels={SERIES_LABEL: series}, limit=_RUNS)
    found: list[RunRecord] = []
    while page := await store.find(query):
        found += page
        query = replace(query, before=page[-1].rid)
    return found[::-1]


async def _of_kind(store: Store, kind: int, rids: Sequence[int]) -> list[tuple[int, Entry]]:
    found: list[tuple[int, Entry]] = []
    for first in range(0, len(rids), _RUNS):
        after = (0, 0)
        while page := await store.of_kind(kind, rids[first : first + _RUNS], after=after, limit=_ENTRIES):
            found += page
            after = (page[-1][0], page[-1][1].seq)
            if len(page) < _ENTRIES:
                break
    return found


def _labels(entry: Entry) -> Sequence[str]:
    """What the run had read when it ended: the words of its ending may be made of that."""
    if entry.erased:
        return ()
    told: dict[str, Any] = pydantic_core.from_json(entry.payload)
    heard: dict[str, Sequence[str]] = told.get("heard") or {}
    return heard.get("seen", ())
