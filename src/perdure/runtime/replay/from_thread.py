"""Steps for code that runs in a thread of its own: a framework's sync functions."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import queue
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ...core.errors import ConfigError
from ...core.futures import Steady
from ..boundary.functions import CancelledAfter

__all__ = ["Here", "from_thread", "not_here"]

T = TypeVar("T")


class Here:
    """The thread that waits for a coroutine, which may have functions called there: an effect stays in its thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    async def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call it in the thread. Whoever is cancelled meanwhile still waits for it (`CancelledAfter`)."""
        done: Steady[T] = Steady(loop=self._loop)
        context = contextvars.copy_context()

        def run() -> None:
            try:
                value = context.run(function, *args, **kwargs)
            except BaseException as error:
                told: tuple[Callable[..., None], Any] = (done.set_exception, error)
            else:
                told = (done.set_result, value)
            self._loop.call_soon_threadsafe(*told)

        self.inbox.put(run)
        try:
            return await done
        except asyncio.CancelledError:
            if done.done() and done.exception() is None:
                raise CancelledAfter(done.result()) from None
            raise


def from_thread(
    loop: asyncio.AbstractEventLoop, work: Callable[[Here], Coroutine[Any, Any, T]], *, what: str
) -> T:
    """Have `work` done by the loop's thread, in the context of this one, and wait for it.

    Raises what it raised, and `ConfigError` where this is the loop's own thread, which would wait for itself.
    """
    not_here(loop, what=what)
    here = Here(loop)
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    context = contextvars.copy_context()

    def begin() -> None:
        task = loop.create_task(work(here), context=context)
        task.add_done_callback(over)

    def over(task: asyncio.Task[T]) -> None:
        if task.cancelled():
            outcome.set_exception(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(task.result())
        here.inbox.put(None)

    loop.call_soon_threadsafe(begin)
    while (task := here.inbox.get()) is not None:
        task()
    return outcome.result()


def not_here(loop: asyncio.AbstractEventLoop, *, what: str) -> None:
    """Raise `ConfigError` where this is the loop's own thread."""
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return
    if running is loop:
        raise ConfigError(
            f"{what} was called without `await` in the thread that drives the run, which would wait for itself; use "
            "its async twin (`ainvoke`, `astream`), or call the agent by `await asyncio.to_thread(...)`"
        )
