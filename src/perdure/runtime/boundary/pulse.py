"""Signs of life from what takes long: `heartbeat()` inside a tool or a step, and the end of a tool that gives none.

A heartbeat is an entry, at most one a second of each step, and the run's progress where it says how far it is: so slow
and stuck are told apart. It is no step: a replay knows nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...journal import Change, Kind
from ..replay.scope import Scope, scope_here
from .functions import within

if TYPE_CHECKING:
    from ..replay.recorder import Recorder
    from .tool import Tool

__all__ = ["beat", "heartbeat", "limited"]

LEAST_SECONDS = 1.0
"""Between two entries of one step."""


def heartbeat(progress: str | None = None, *, done: int | None = None, total: int | None = None) -> None:
    """Say that the tool or step that is under way lives, and how far it is. Call it as often as you like.

    Also from the thread that a sync tool runs in, and from `asyncio.to_thread`. Outside a run it does nothing, so a
    tool can be called directly.
    """
    scope = scope_here()
    if scope is not None:
        beat(scope, progress, done=done, total=total)


def beat(scope: Scope, progress: str | None, *, done: int | None = None, total: int | None = None) -> None:
    """A sign of life of what is under way in `scope`. From any thread."""
    recorder = scope.recorder
    key = scope.busy or next((k for k, (s, _) in list(recorder.reachable.items()) if s is scope), "")
    note = None if progress is None else {"what": progress, "done": done, "total": total}
    try:
        here = asyncio.get_running_loop() is recorder.loop
    except RuntimeError:
        here = False
    if here:
        _beat(recorder, key, note)
        return
    try:
        recorder.loop.call_soon_threadsafe(_beat, recorder, key, note)
    except RuntimeError:
        return  # the loop is closed: the step was abandoned


def _beat(recorder: Recorder, key: str, note: dict[str, Any] | None) -> None:
    watch = recorder.watches.get(key)
    if watch is not None:
        watch()
    if recorder.halted is not None or recorder.releasing:
        return
    now = recorder.loop.time()
    if now < recorder.beaten.get(key, 0.0):
        return
    recorder.beaten[key] = now + LEAST_SECONDS
    told = {**(note or {}), "at": recorder.store.now()}
    payload = pydantic_core.to_json(told)
    change = None if note is None else Change(progress=payload.decode())
    recorder.write(Kind.HEARTBEAT, key, payload, change=change)


def limited(tool: Tool[..., Any], recorder: Recorder, key: str) -> Callable[..., Any]:
    """The tool's function, cut off after its timeout, and where it gives no sign of life for too long."""
    function = tool.function
    if not tool.asynchronous:
        return function  # a thread cannot be stopped
    if tool.terms.heartbeat is not None:
        function = _watched(function, tool.name, recorder, key, tool.terms.heartbeat.total_seconds())
    return function if tool.timeout is None else within(function, tool.timeout.total_seconds())


def _watched(
    function: Callable[..., Any], name: str, recorder: Recorder, key: str, seconds: float
) -> Callable[..., Any]:
    async def watched(*args: Any, **kwargs: Any) -> Any:
        loop = asyncio.get_running_loop()
        limit = asyncio.timeout(seconds)

        def alive() -> None:
            if not limit.expired():
                limit.reschedule(loop.time() + seconds)

        try:
            async with limit:
                recorder.watches[key] = alive
                return await function(*args, **kwargs)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeoutError(f"`{name}` gave no sign of life for {seconds:g} s; it was cut off") from error
        finally:
            recorder.watches.pop(key, None)

    return watched
