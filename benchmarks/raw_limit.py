"""The raw limit: plain rows queued to one writer, up to 512 a transaction, one wake-up of the loop a transaction.

No hashes, fences, fingerprints, keys or types, and no index: what SQLite at `synchronous=FULL` and asyncio allow.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from itertools import chain
from pathlib import Path

import apsw

from .workload import ANSWER, FOUND, TURNS, Measured

_SIZES = (256, 64, 16, 4, 1)


class Writer:
    """A thread that commits whatever has queued."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path), statementcachesize=100)
        for pragma in (
            "page_size = 8192",
            "journal_mode = wal",
            "synchronous = full",
            "wal_autocheckpoint = 4000",
        ):
            self._connection.execute(f"pragma {pragma}")
        self._connection.execute("create table rows (id integer primary key, run, seq, value blob)")
        self._queue: queue.SimpleQueue[list[tuple[asyncio.Future[None], tuple[object, ...]]] | None] = (
            queue.SimpleQueue()
        )
        self._turn: list[tuple[asyncio.Future[None], tuple[object, ...]]] = []
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, row: tuple[object, ...]) -> asyncio.Future[None]:
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
        self._connection.close()

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            self._connection.execute("begin immediate")
            rows = [row for _, row in batch]
            at = 0
            for size in _SIZES:
                while len(rows) - at >= size:
                    sql = "insert into rows (run, seq, value) values " + ",".join(["(?,?,?)"] * size)
                    self._connection.execute(sql, tuple(chain.from_iterable(rows[at : at + size])))
                    at += size
            self._connection.execute("commit")
            self._loop.call_soon_threadsafe(self._wake, [future for future, _ in batch])

    @staticmethod
    def _wake(futures: list[asyncio.Future[None]]) -> None:
        for future in futures:
            future.set_result(None)


async def raw(path: Path, *, runs: int, seconds: float) -> Measured:
    """So many tasks, each a row at a time, for so long."""
    writer = Writer(path)
    answer, found = ANSWER.encode(), FOUND.encode()

    async def task(run: int) -> None:
        for turn in range(TURNS):
            await writer.put((run, 2 * turn, answer))
            await writer.put((run, 2 * turn + 1, found))

    done = 0
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        await asyncio.gather(*(task(done + i) for i in range(runs)))
        done += runs * TURNS * 2
    measured = Measured(done, time.perf_counter() - began, time.process_time() - cpu)
    writer.close()
    return measured
