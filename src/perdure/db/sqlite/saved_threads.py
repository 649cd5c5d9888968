"""Threads in a file of `langgraph-checkpoint-sqlite`, read only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import apsw

from ...core.errors import ConfigError
from ...core.saved_threads import SavedCheckpoint, SavedWrite
from .connection import BUSY_SECONDS, Connection, named_errors

__all__ = ["SqliteThreads"]

TABLES = "select count(*) from sqlite_schema where type = 'table' and name in ('checkpoints', 'writes')"
THREADS = "select distinct thread_id from checkpoints order by thread_id"
CHECKPOINTS = """
    select checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata from checkpoints
    where thread_id = ? order by checkpoint_ns, checkpoint_id
"""
HAS_PATH = "select count(*) from pragma_table_info('writes') where name = 'task_path'"
WRITES = """
    select task_id, {path}, idx, channel, type, value from writes
    where thread_id = ? and checkpoint_ns = ? and checkpoint_id = ? order by task_id, idx
"""


class SqliteThreads:
    """The `SavedThreads` of a file. Raises `ConfigError` where it has none, `StoreError` where it cannot be read."""

    def __init__(self, url: str) -> None:
        path = Path(url.removeprefix("sqlite:///")).absolute()
        self.name = str(path)
        if not path.is_file():
            raise ConfigError(f"there is no file `{path}`: name the one that the `SqliteSaver` was given")
        with named_errors(self.name):
            opened = apsw.Connection(self.name, flags=apsw.SQLITE_OPEN_READONLY)
            opened.set_busy_timeout(int(BUSY_SECONDS * 1000))
            self._connection = cast("Connection", opened)
            self._connection.execute("begin")  # all is read as it was at one moment
            tables = self._connection.execute(TABLES).get
            has_path = self._connection.execute(HAS_PATH).get  # older savers have none
        self._writes = WRITES.format(path="task_path" if has_path else "''")
        if tables != 2:
            self.close()
            raise ConfigError(
                f"`{path}` holds no threads of LangGraph: it has no tables `checkpoints` and `writes`"
            )

    def threads(self) -> list[str]:
        """The ids of all threads, in order."""
        with named_errors(self.name):
            return [str(thread) for (thread,) in self._connection.execute(THREADS)]

    def checkpoints(self, thread: str) -> Iterator[SavedCheckpoint]:
        """Those of a thread: in each namespace the oldest first."""
        with named_errors(self.name):
            for ns, id_, parent, kind, data, metadata in self._connection.execute(CHECKPOINTS, (thread,)):
                writes = [
                    SavedWrite(task, path, index, channel, (of or "null", _bytes(value)))
                    for task, path, index, channel, of, value in self._connection.execute(
                        self._writes, (thread, ns, id_)
                    )
                ]
                yield SavedCheckpoint(
                    ns=ns,
                    id=id_,
                    parent=parent or None,
                    checkpoint=(kind or "null", _bytes(data)),
                    metadata=_bytes(metadata) or b"{}",
                    values={},
                    writes=writes,
                )

    def close(self) -> None:
        """Leave the file."""
        self._connection.close()


def _bytes(value: bytes | str | None) -> bytes:
    """SQLite keeps what it was given, whatever the column says: older savers gave text."""
    return b"" if value is None else value.encode() if isinstance(value, str) else bytes(value)
