"""The raw limit: plain rows queued to one writer, one wake-up of the loop a transaction.

No hashes, fences, fingerprints or types: what the database and asyncio allow. `indexed` rows can be found again by run,
as a journal's must; bare rows cannot.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain, count
from typing import Any

from .workload import ANSWER, FOUND, TURNS, Measured, Window

__all__ = ["raw", "raw_writer", "write_runs"]

Row = tuple[int, int, bytes]

_SIZES = (256, 64, 16, 4, 1)


class Writer(ABC):
    """A thread that commits whatever has queued."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[list[tuple[asyncio.Future[None], Row]] | None] = queue.SimpleQueue()
        self._turn: list[tuple[asyncio.Future[None], Row]] = []
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, row: Row) -> asyncio.Future[None]:
        """Queue a row; the future is done when it is on disk."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._turn.append((future, row))
        if len(self._turn) == 1:
            self._loop.call_soon(self._hand_over)
        return future

    def _hand_over(self) -> None:
        self._queue.put(self._turn)
        self._turn = []

    def close(self) -> None:
        """End the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            self.write([row for _, row in batch])
            self._loop.call_soon_threadsafe(self._wake, [future for future, _ in batch])

    @abstractmethod
    def write(self, rows: Sequence[Row]) -> None:
        """Commit the rows in one transaction."""

    @staticmethod
    def _wake(futures: list[asyncio.Future[None]]) -> None:
        for future in futures:
            future.set_result(None)


class SqliteWriter(Writer):
    """Up to 256 rows a statement: each step of a statement hands the GIL over, which costs more than a row."""

    def __init__(self, url: str, *, indexed: bool) -> None:
        import apsw

        self._connection = apsw.Connection(url.removeprefix("sqlite:///"), statementcachesize=100)
        for pragma in (
            "page_size = 8192",
            "journal_mode = wal",
            "synchronous = full",
            "wal_autocheckpoint = 4000",
            "cache_size = -32768",
        ):
            self._connection.execute(f"pragma {pragma}")
        self._connection.execute(
            "create table if not exists rows (n integer primary key, run, seq, value blob)"
        )
        if indexed:
            self._connection.execute("create unique index if not exists rows_run on rows (run, seq)")
        super().__init__()

    def write(self, rows: Sequence[Row]) -> None:
        self._connection.execute("begin immediate")
        at = 0
        for size in _SIZES:
            while len(rows) - at >= size:
                sql = "insert into rows (run, seq, value) values " + ",".join(["(?,?,?)"] * size)
                self._connection.execute(sql, tuple(chain.from_iterable(rows[at : at + size])))
                at += size
        self._connection.execute("commit")

    def close(self) -> None:
        super().close()
        self._connection.close()


class PostgresWriter(Writer):
    """One statement a transaction, its columns as binary arrays."""

    def __init__(self, url: str, *, indexed: bool) -> None:
        import psycopg

        from perdure.db.postgres import arrays

        self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=1)
        arrays.register(self._connection)
        self._arrays = arrays
        key = ", primary key (run, seq)" if indexed else ""
        # As Perdure's entries: values of 2 KB stay in their row, which is faster and smaller than a TOAST table.
        options = "with (toast_tuple_target = 4080)"
        columns = f"run bigint, seq bigint, value bytea{key}"
        self._connection.execute(f"create table if not exists rows ({columns}) {options}".encode())
        super().__init__()

    def write(self, rows: Sequence[Row]) -> None:
        runs, seqs, values = zip(*rows, strict=True)
        self._connection.execute(
            b"insert into rows select * from unnest(%s::bigint[], %s::bigint[], %s::bytea[])",
            (self._arrays.Ints(runs), self._arrays.Ints(seqs), self._arrays.Byteas(values)),
            binary=True,
        )

    def close(self) -> None:
        super().close()
        self._connection.close()


def raw_writer(url: str, *, indexed: bool) -> Writer:
    """The writer for a store's URL."""
    made: Any = SqliteWriter if url.startswith("sqlite:") else PostgresWriter
    return made(url, indexed=indexed)


async def _one(writer: Writer, run: int, turns: int, window: Window) -> None:
    answer, found = ANSWER.encode(), FOUND.encode()
    for turn in range(turns):
        await writer.put((run, 2 * turn, answer))
        window.step()
        await writer.put((run, 2 * turn + 1, found))
        window.step()


async def raw(url: str, *, indexed: bool, runs: int, seconds: float) -> Measured:
    """So many runs at once, each a row at a time, for so long."""
    writer = raw_writer(url, indexed=indexed)
    window = Window(seconds, runs=runs)
    numbers = count()

    async def task() -> None:
        while True:
            await _one(writer, next(numbers), TURNS, window)

    tasks = [asyncio.create_task(task()) for _ in range(runs)]
    measured = await window.watch()
    del tasks
    return measured


async def write_runs(url: str, *, indexed: bool, first: int, runs: int, turns: int) -> None:
    """The rows of so many runs, to be weighed."""
    writer = raw_writer(url, indexed=indexed)
    window = Window(0)
    await asyncio.gather(*(_one(writer, first + n, turns, window) for n in range(runs)))
    writer.close()
