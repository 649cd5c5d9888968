"""Rows of the tables as the port's values."""

from __future__ import annotations

import json

from ...core.ids import RunRef
from ...journal import Message, RunRecord, RunStatus
from .connection import Row

__all__ = ["message", "record"]


def message(row: Row) -> Message:
    """A row of the inbox."""
    n, kind, name, id_, sender, at, body = row
    return Message(n=n, kind=kind, name=name, id=id_, sender=sender, at=at, body=body)


def record(row: Row | None) -> RunRecord:
    """A run's row, in the order of `queries.RUN_COLUMNS`."""
    assert row is not None
    return RunRecord(
        rid=row[0],
        ref=RunRef(row[1], row[2]),
        agent=row[3],
        version=row[4],
        status=RunStatus(row[5]),
        reasons=tuple(json.loads(row[6])),
        labels=json.loads(row[7]),
        parent=row[8],
        created_at=row[9],
        updated_at=row[10],
        deadline=row[11],
        next_wake=row[12],
        head=row[13],
        head_hash=row[14],
        epoch=row[15],
        session=row[16],
        results=row[17],
        unclean=row[18],
        alone_deaths=row[19],
        inbox_seq=row[20],
        drained_seq=row[21],
        progress=row[22],
        priority=row[23],
        needs=tuple(row[24].split()),
        base=row[25],
        base_hash=row[26],
        generation=row[27],
        ended_at=row[28],
        pruned_at=row[29],
        principal=row[30],
        subject=row[31],
    )
