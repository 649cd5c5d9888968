"""The operator's side of a SQLite store."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from ...core.errors import ConfigError
from ...journal import Cell
from ..maintenance import SessionInfo, StoreInfo
from ..restored import ORIGIN, told_of
from . import queries
from .backup import copy
from .connection import (
    Connection,
    connect,
    migrate,
    moved_to,
    named_errors,
    newest_version,
    refuse_newer,
    version_of,
)

__all__ = ["SqliteMaintenance"]

CHECKPOINT_TRIES = 5
"""Each waits for readers as long as a writer waits for the file."""


class SqliteMaintenance:
    """Looks at the file, and migrates it."""

    def __init__(self, url: str) -> None:
        self.path = Path(url.removeprefix("sqlite:///")).absolute()
        self.url = f"sqlite:///{self.path}"
        self.name = str(self.path)
        self._opened: Connection | None = None

    def exists(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

    def versions(self) -> tuple[int, int]:
        """The schema's version, and the newest that this release knows."""
        with named_errors(self.name):
            return version_of(self._reading()), newest_version()

    def info(self) -> StoreInfo:
        """Look at the store as a whole."""
        have, newest = self.versions()
        with named_errors(self.name):
            c = self._reading()
            now = time.time_ns() // 1000
            found = StoreInfo(
                kind="sqlite", server=apsw.sqlite_lib_version(), schema=have, newest=newest, now=now
            )
            if have == 0:
                return found
            entries, waiting, due = c.execute(queries.INFO_TOTALS).fetchone() or (0, None, None)
            return StoreInfo(
                kind=found.kind,
                server=found.server,
                schema=have,
                newest=newest,
                now=now,
                runs={row[0]: row[1] for row in c.execute(queries.INFO_RUNS)},
                entries=entries,
                blobs=c.execute(queries.INFO_BLOBS).get,
                bytes=sum(
                    os.path.getsize(file) for file in (self.name, f"{self.name}-wal") if os.path.exists(file)
                ),
                waiting_since=waiting,
                due_since=due,
                sessions=[
                    SessionInfo(id=row[0], label=row[1], expires=row[2], runs=row[3])
                    for row in c.execute(queries.INFO_SESSIONS)
                ],
                moved=moved_to(c),
            )

    def faults(self, *, quick: bool = False) -> list[str]:
        """What SQLite itself finds wrong with the file."""
        with named_errors(self.name):
            check = "quick_check" if quick else "integrity_check"
            rows = self._reading().execute(f"pragma {check}").fetchall()
        return [str(row[0]) for row in rows if row[0] != "ok"]

    def pending(self) -> list[int]:
        """The migrations that are missing."""
        with named_errors(self.name):
            c = self._reading()
            refuse_newer(c, self.name)
            return list(range(version_of(c) + 1, newest_version() + 1))

    def migrate(self, *, wait: float = 60.0, waiting: Callable[[str], None] = lambda who: None) -> list[int]:
        """Bring the schema to this release's version, one transaction a step."""
        self.close()
        connection = connect(self.name)
        try:
            return migrate(connection, self.name)
        finally:
            connection.close()

    def grant(self, role: str) -> None:
        """A file has no roles."""
        raise ConfigError(f"`{self.name}` is a file: who may use it is said by its permissions, not by roles")

    def scrub(self) -> str:
        """Write the file anew without what was deleted, and empty its log.

        Deleted bytes may stand in any free corner of a page (rows move when pages are split), so overwriting them where
        they were last is not enough.
        """
        self.close()
        connection = connect(self.name)
        try:
            with named_errors(self.name):
                connection.execute("pragma secure_delete = on")
                connection.execute("vacuum")
                for _ in range(CHECKPOINT_TRIES):
                    row = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
                    if row is not None and row[0] == 0:
                        return ""
        finally:
            connection.close()
        return (
            f"`{self.name}-wal` is being read by somebody, and holds what was deleted until nobody does: do the same "
            "again once those processes are done"
        )

    def backup(self, target: Path, *, seen: Callable[[int, int], None] = lambda done, of: None) -> None:
        """Copy the file, as of one moment, page by page beside those who write."""
        copy(self.name, target, seen=seen)

    def restored(self) -> str | None:
        """Which backup the file is, where nobody has settled that."""
        with named_errors(self.name):
            row = self._reading().execute(queries.GET_CELL, ORIGIN).fetchone()
        return None if row is None else told_of(Cell(row[0]))

    def adopt(self) -> None:
        """The file is the store."""
        self.close()
        connection = connect(self.name)
        try:
            with named_errors(self.name):
                connection.execute(queries.DROP_CELL, ORIGIN)
        finally:
            connection.close()

    def close(self) -> None:
        """Close the file."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _reading(self) -> Connection:
        if self._opened is None:
            self._opened = connect(self.name, read_only=True)
        return self._opened
