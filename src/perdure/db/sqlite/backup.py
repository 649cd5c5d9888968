"""A copy of a store's file that is made to be kept, while others write: SQLite's own online backup."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import apsw

from ...core.errors import ConfigError, StoreUnavailable
from ..restored import BACKUP, ORIGIN, origin_cell
from . import queries
from .connection import Connection, connect, named_errors

__all__ = ["copy"]

PAGES = 2000
"""Copied at a time (16 MB): between two steps writers get their turn."""


def copy(source: str, target: Path, *, seen: Callable[[int, int], None]) -> None:
    """Copy the file `source` to the new file `target`, whole or not at all. Raises `ConfigError`, `StoreError`."""
    if target.exists():
        raise ConfigError(f"`{target}` is there already: name a new file for the backup")
    if not target.parent.is_dir():
        raise ConfigError(f"`{target.parent}` is no folder: make it first")
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with named_errors(str(unfinished)):
            old = apsw.Connection(source, flags=apsw.SQLITE_OPEN_READONLY)
            new = apsw.Connection(str(unfinished))
            reading = cast(Connection, old)
            try:
                # A snapshot that is held sees one moment, however much is written meanwhile: without it each commit of
                # another process would begin the copy anew.
                reading.execute("begin")
                reading.execute("select count(*) from sqlite_schema")
                with new.backup("main", old, "main") as backup:
                    while not backup.done:
                        backup.step(PAGES)
                        seen(backup.page_count - backup.remaining, backup.page_count)
            finally:
                old.close()
                new.close()
        _mark(unfinished)
        os.replace(unfinished, target)
    finally:
        for leftover in (
            unfinished,
            *(unfinished.with_name(unfinished.name + end) for end in ("-wal", "-shm")),
        ):
            leftover.unlink(missing_ok=True)


def _mark(path: Path) -> None:
    connection = connect(str(path))
    try:
        with named_errors(str(path)):
            faults = [row[0] for row in connection.execute("pragma quick_check") if row[0] != "ok"]
            if faults:
                raise StoreUnavailable(f"the copy `{path}` is not sound ({faults[0]}): nothing was kept")
            cell = origin_cell(f"{BACKUP} {time.time_ns() // 1000}")
            connection.execute(queries.PUT_CELL, (*ORIGIN, cell.data, cell.due))
            connection.pragma("wal_checkpoint(truncate)")
    finally:
        connection.close()
