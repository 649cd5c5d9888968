"""One writer for a whole process: whatever has queued is committed in one transaction.

A commit costs a quarter of a millisecond whatever it holds, so jobs wait for each other instead of for the disk. The
loop's thread collects the jobs of one turn and hands them over together; the writer's thread takes all that is
there, and wakes the loop once a transaction, not once a job (measured: the wake-ups cost more than the rows).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar, cast

from ..core.errors import StoreUnavailable
from ..core.futures import Steady
from ..journal import Append, CellKey, keys_of

__all__ = ["Call", "GroupCommit", "Job", "cells_of", "hoisted"]

C = TypeVar("C")

MOST_JOBS = 1024
"""Jobs of one transaction: beyond this the latency of the first costs more than the last gains."""


class Job(Protocol):
    """What is queued: the writer leaves its outcome, and the loop hands it to the future."""

    outcome: Any
    error: Exception | None
    future: asyncio.Future[Any] | None


class Call(Generic[C]):
    """A job that runs a function on the connection, inside the transaction."""

    __slots__ = ("cells", "error", "function", "future", "news", "outcome", "promise")

    def __init__(
        self, function: Callable[[C], Any], *, news: bool = True, cells: Sequence[CellKey] = ()
    ) -> None:
        self.function = function
        self.cells = cells
        """those that it may amend"""
        self.news = news
        """whether others may want to look at the store after it"""
        self.outcome: Any = None
        self.error: Exception | None = None
        self.future: asyncio.Future[Any] | None = None
        self.promise: Future[Any] | None = None
        """for callers in other threads"""


def cells_of(batch: Sequence[Any]) -> list[CellKey]:
    """All cells that the jobs may amend, each once, in the order in which they are locked, before anything else.

    Locked as the jobs come, two writers might wait for each other.
    """
    found: set[CellKey] = set()
    for job in batch:
        if not isinstance(job, Append):
            found.update(job.cells)
        elif job.change is not None and job.change.amendments:
            found.update(keys_of(job.change.amendments))
    return sorted(found)


def hoisted(batch: Sequence[Any]) -> tuple[list[Append], list[Any]]:
    """Appends without changes that may be written first, all together, and the other jobs in their order.

    Whoever queued a job did not know the outcome of those before it, so only jobs of one run keep their order: an
    append stays behind one that changes its run, and behind one that it does not go on from. (One append of another
    kind among 64 made three statements out of one.)
    """
    first: list[Append] = []
    others: list[Any] = []
    tails: dict[int, tuple[int, int]] = {}
    behind: set[int] = set()
    for job in batch:
        if isinstance(job, Append):
            rid = job.rid
            if job.change is None and rid not in behind:
                tail = tails.get(rid)
                if tail is None or (tail[0] == job.epoch and tail[1] == job.head):
                    tails[rid] = job.epoch, job.entries[-1].seq
                    first.append(job)
                    continue
            behind.add(rid)
        others.append(job)
    return first, others


class GroupCommit:
    """A thread that writes batches. `write` gets the jobs, sets each one's `outcome` or `error`, and commits.

    It returns whether there is news for those who watch the store. An exception from it fails the whole batch.
    """

    def __init__(self, write: Callable[[Sequence[Any]], bool], *, name: str) -> None:
        self._write = write
        self._name = name
        self._handed: queue.SimpleQueue[list[Any] | None] = queue.SimpleQueue()
        self._turn: list[Any] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = True
        self._on_news: Callable[[], None] = lambda: None

    def start(self, on_news: Callable[[], None]) -> None:
        """Begin; `on_news` is called in the loop's thread after a transaction that others may want to know of."""
        self._loop = asyncio.get_running_loop()
        self._on_news = on_news
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def submit(self, job: Any) -> asyncio.Future[Any]:
        """Queue a job from the loop's thread; its future is done once it is committed."""
        loop = self._loop
        if self._closed or loop is None:
            raise StoreUnavailable("the store is closed; open it first")
        future: asyncio.Future[Any] = Steady(loop=loop)
        job.future = future
        if not self._turn:
            # One hop later, so that all runs that this turn of the loop wakes are in the same transaction.
            loop.call_soon(self._hand_over)
        self._turn.append(job)
        return future

    def submit_from_thread(self, job: Call[Any]) -> Future[Any]:
        """Queue a call from any thread."""
        promise: Future[Any] = Future()
        if self._closed:
            promise.set_exception(StoreUnavailable("the store is closed; open it first"))
            return promise
        job.promise = promise
        self._handed.put([job])
        return promise

    async def stop(self) -> None:
        """Write what is queued, then end the thread."""
        if self._closed:
            return
        self._hand_over()
        self._closed = True
        self._handed.put(None)
        thread = self._thread
        assert thread is not None
        await asyncio.get_running_loop().run_in_executor(None, thread.join)
        await asyncio.sleep(0)  # let the last hand-out run

    def _hand_over(self) -> None:
        if self._turn:
            self._handed.put(self._turn)
            self._turn = []

    def _run(self) -> None:
        while True:
            batch = self._handed.get()
            if batch is None:
                return
            last = False
            while len(batch) < MOST_JOBS:
                try:
                    more = self._handed.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                    break
                batch.extend(more)
            news = False
            try:
                news = self._write(batch)
            except Exception as error:
                for job in batch:
                    job.error = error
            for job in batch:
                if isinstance(job, Call) and (promise := cast("Call[Any]", job).promise) is not None:
                    if job.error is None:
                        promise.set_result(job.outcome)
                    else:
                        promise.set_exception(job.error)
            try:
                assert self._loop is not None
                self._loop.call_soon_threadsafe(self._hand_out, batch, news)
            except RuntimeError:
                return  # the loop is closed: nobody is left to tell
            if last:
                return

    def _hand_out(self, batch: list[Any], news: bool) -> None:
        for job in batch:
            future = job.future
            if future is not None and not future.done():
                error = job.error
                if error is None:
                    future.set_result(job.outcome)
                else:
                    future.set_exception(error)
                    future.exception()  # marked as seen: an append that nobody awaits yet is awaited at a barrier
        if news:
            self._on_news()
