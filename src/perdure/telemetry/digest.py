"""The digest of all projections: of a store that was folded bit by bit it is that of one that was rebuilt."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from ..journal import TALLY_COLUMNS, Grain, RunQuery, Store, TallyQuery

__all__ = ["projections_digest"]

PAGE = 500


async def projections_digest(store: Store) -> str:
    """SHA-256 (hexadecimal) over what is kept of every run, and over every tally. It reads all of it."""
    found = hashlib.sha256()
    query = RunQuery(limit=PAGE)
    while page := await store.find(query):
        rows = await store.figures([run.rid for run in page])
        for run in page:
            if (row := rows.get(run.rid)) is not None:
                found.update(json.dumps([*run.ref, *row[1:]]).encode())
        query = replace(query, before=page[-1].rid)
    for grain in (Grain.TOTAL, Grain.DAY, Grain.HOUR):
        for by in (TALLY_COLUMNS, TALLY_COLUMNS[:-1]):  # those of labels, and the others
            for key, counts in await store.tallies(TallyQuery(by=by, grain=grain)):
                found.update(json.dumps([*key, *counts]).encode())
    return found.hexdigest()
