"""Rows of the tables as the port's values."""

from __future__ import annotations

import json

from ...journal import Message, RunRecord
from ..run_rows import run_record
from .connection import Row

__all__ = ["message", "record"]


def message(row: Row) -> Message:
    """A row of the inbox."""
    n, kind, name, id_, sender, at, body = row
    return Message(n=n, kind=kind, name=name, id=id_, sender=sender, at=at, body=body)


def record(row: Row | None) -> RunRecord:
    """A run's row, in the order of `queries.RUN_COLUMNS`."""
    assert row is not None
    return run_record(row, reasons=json.loads(row[6]), labels=json.loads(row[7]))
