"""Calling users' functions, of either colour."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..core.codec import is_asynchronous
from ..core.futures import Steady

__all__ = ["CancelledAfter", "in_thread", "run_function", "within"]

_threads = ThreadPoolExecutor(64, thread_name_prefix="perdure-step")


async def in_thread(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a sync function in a thread. It cannot be stopped: who is cancelled meanwhile still waits for it."""
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    done: Steady[Any] = Steady(loop=loop)

    def run() -> None:
        try:
            value = context.run(function, *args, **kwargs)
        except BaseException as error:
            loop.call_soon_threadsafe(done.set_exception, error)
        else:
            loop.call_soon_threadsafe(done.set_result, value)

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
