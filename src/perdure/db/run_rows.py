"""Rows of runs and of their figures, as both SQL stores select them: the same columns, in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.ids import RunRef
from ..journal import FiguresRow, RunRecord, RunStatus

__all__ = ["also", "figures_row", "run_record"]


def run_record(row: Sequence[Any], *, reasons: Sequence[Any], labels: Mapping[str, str]) -> RunRecord:
    """A run's row, in the order of `RUN_COLUMNS`. Reasons and labels are stored in the way of each store."""
    return RunRecord(
        rid=row[0],
        ref=RunRef(row[1], row[2]),
        agent=row[3],
        version=row[4],
        status=RunStatus(row[5]),
        reasons=tuple(reasons),
        labels=labels,
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


def figures_row(row: Sequence[Any]) -> FiguresRow | None:
    """None also of a row that holds nothing yet: the run was pruned before it was folded."""
    return FiguresRow(*row) if row[0] is not None and row[1] else None


def also(where: str, condition: str) -> str:
    """One more condition."""
    return f"{where} and {condition}" if where else f" where {condition}"
