"""Calling users' functions, of either colour."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any

from ...core.codec import is_asynchronous
from ...core.futures import Steady

__all__ = ["THREADS", "CancelledAfter", "in_thread", "run_function", "within"]


class _Threads:
    """At most so many threads, begun when they are needed, that do not keep the interpreter from exiting.

    A step that does not end is abandoned when its worker leaves; the threads of a `ThreadPoolExecutor` would still be
    waited for at the interpreter's exit.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._lock = threading.Lock()
        self._idle = threading.Semaphore(0)
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def submit(self, work: Callable[[], None]) -> None:
        """Have it called by a thread; it must not raise."""
        self._work.put(work)
        if self._idle.acquire(blocking=False):
            return
        with self._lock:
            if self._count < self._most:
                self._count += 1
                name = f"perdure-step-{self._count}"
                threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                work = self._work.get_nowait()
            except queue.Empty:
                self._idle.release()
                work = self._work.get()
            work()


_threads = _Threads(64)

THREADS: contextvars.ContextVar[set[Steady[Any]] | None] = contextvars.ContextVar("THREADS", default=None)
"""Where a worker finds what its runs await of threads, to let go of them when it leaves."""


async def in_thread(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a sync function in a thread. It cannot be stopped: who is cancelled meanwhile still waits for it."""
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    done: Steady[Any] = Steady(loop=loop)

    def run() -> None:
        try:
            value = context.run(function, *args, **kwargs)
        except BaseException as error:
            told: tuple[Callable[..., None], Any] = (done.set_exception, error)
        else:
            told = (done.set_result, value)
        try:
            loop.call_soon_threadsafe(hand_out, *told)
        except RuntimeError:
            return  # the loop is closed: the step was abandoned

    def hand_out(tell: Callable[[Any], None], what: Any) -> None:
        if not done.done():  # else it was abandoned
            tell(what)

    under_way = THREADS.get()
    if under_way is not None:
        under_way.add(done)
        done.add_done_callback(under_way.discard)
    _threads.submit(run)
    try:
        return await done
    except asyncio.CancelledError:
        if done.done() and done.exception() is None:
            raise CancelledAfter(done.result()) from None
        raise


class CancelledAfter(asyncio.CancelledError):
    """The caller was cancelled, but what it waited for has happened."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


async def run_function(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function of either colour."""
    return await (
        function(*args, **kwargs) if is_asynchronous(function) else in_thread(function, args, kwargs)
    )


def within(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    """The async function, cancelled after so many seconds (`TimeoutError`)."""

    async def limited(*args: Any, **kwargs: Any) -> Any:
        async with asyncio.timeout(seconds):
            return await function(*args, **kwargs)

    return limited
