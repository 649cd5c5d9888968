"""Threads in a database of `langgraph-checkpoint-postgres`, read only."""

from __future__ import annotations

from collections.abc import Iterator

from ...core.errors import ConfigError
from ...core.saved_threads import SavedCheckpoint, SavedWrite
from .connection import Link, named_errors, shown

__all__ = ["PostgresThreads"]

BEGIN = "begin isolation level repeatable read read only"  # all is read as it was at one moment
TABLES = (
    "select to_regclass('checkpoints'), to_regclass('checkpoint_blobs'), to_regclass('checkpoint_writes')"
)
THREADS = 'select thread_id from checkpoints group by thread_id order by thread_id collate "C"'
IDS = """
    select checkpoint_ns, checkpoint_id from checkpoints
    where thread_id = %(thread)s order by checkpoint_ns collate "C", checkpoint_id collate "C"
"""
CHECKPOINT = """
    select parent_checkpoint_id, checkpoint::text, metadata::text from checkpoints
    where thread_id = %(thread)s and checkpoint_ns = %(ns)s and checkpoint_id = %(id)s
"""
VALUES = """
    select b.channel, b.type, b.blob
    from checkpoints c
    cross join lateral jsonb_each_text(c.checkpoint -> 'channel_versions') v
    join checkpoint_blobs b
        on b.thread_id = c.thread_id and b.checkpoint_ns = c.checkpoint_ns
        and b.channel = v.key and b.version = v.value
    where c.thread_id = %(thread)s and c.checkpoint_ns = %(ns)s and c.checkpoint_id = %(id)s and b.type <> 'empty'
"""
WRITES = """
    select task_id, coalesce(to_jsonb(w) ->> 'task_path', ''), idx, channel, coalesce(type, 'null'), blob
    from checkpoint_writes w
    where thread_id = %(thread)s and checkpoint_ns = %(ns)s and checkpoint_id = %(id)s order by task_id, idx
"""
"""By `to_jsonb` the column may be missing, as it is in the tables of older savers."""


class PostgresThreads:
    """The `SavedThreads` of a database. Raises `ConfigError` where it has none, `StoreError` where it fails."""

    def __init__(self, url: str) -> None:
        self.name = shown(url)
        self._link = Link(url)
        with named_errors(self.name):
            self._link.execute(BEGIN)
            (tables,) = self._link.execute(TABLES).fetchall()
        if None in tables:
            self.close()
            raise ConfigError(
                f"`{self.name}` holds no threads of LangGraph: it has no tables `checkpoints`, `checkpoint_blobs` and "
                "`checkpoint_writes` in its search path"
            )

    def threads(self) -> list[str]:
        """The ids of all threads, in order."""
        with named_errors(self.name):
            return [thread for (thread,) in self._link.execute(THREADS).fetchall()]

    def checkpoints(self, thread: str) -> Iterator[SavedCheckpoint]:
        """Those of a thread: in each namespace the oldest first."""
        with named_errors(self.name):
            for ns, id_ in self._link.execute(IDS, {"thread": thread}).fetchall():
                place = {"thread": thread, "ns": ns, "id": id_}
                ((parent, checkpoint, metadata),) = self._link.execute(CHECKPOINT, place).fetchall()
                yield SavedCheckpoint(
                    ns=ns,
                    id=id_,
                    parent=parent or None,
                    checkpoint=("json", checkpoint.encode()),
                    metadata=metadata.encode(),
                    values={
                        channel: (kind, bytes(blob or b""))
                        for channel, kind, blob in self._link.execute(VALUES, place)
                    },
                    writes=[
                        SavedWrite(task, path, index, channel, (kind, bytes(blob or b"")))
                        for task, path, index, channel, kind, blob in self._link.execute(WRITES, place)
                    ],
                )

    def close(self) -> None:
        """Leave the database."""
        self._link.drop()
