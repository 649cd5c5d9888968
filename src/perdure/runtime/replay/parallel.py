"""Branches: several lines of steps at once, each in a scope of its own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import pydantic_core

from ...journal import Change, Kind
from .control import Unwind
from .recorder import Recorder
from .scope import Scope, set_scope

__all__ = ["Branch", "Winner", "cut_short", "discard", "first", "gather", "spawn"]

T = TypeVar("T")


class Winner(NamedTuple, Generic[T]):
    """Which of the branches of `run.first` finished first, and with what."""

    which: int
    """its position among the arguments"""
    value: T


async def _in_scope(recorder: Recorder, scope: Scope, work: Awaitable[T]) -> T:
    """Run one branch; at its end every recorded step of it must have been asked for."""
    set_scope(scope)
    try:
        value = await work
    except asyncio.CancelledError:
        if scope.spawned:
            await _cut(scope.spawned)
        raise
    if recorder.unconsumed and recorder.halted is None:
        recorder.check_frontier(scope)
    return value


def _scopes(recorder: Recorder, scope: Scope, key: str, count: int) -> list[Scope]:
    made = [Scope(recorder, f"{key}.{i}/", parent=scope, shielded=scope.shielded) for i in range(count)]
    recorder.open_scopes.update(s.path for s in made)
    return made


async def gather(
    recorder: Recorder, scope: Scope, key: str, works: tuple[Awaitable[Any], ...], *, return_exceptions: bool
) -> list[Any]:
    """Run all, wait for all, then give the results in order, or raise the first error by position.

    Nothing is cut off when a sibling fails: an effect under way would be left in doubt.
    """
    if not works:
        return []
    scopes = _scopes(recorder, scope, key, len(works))
    left = len(works)

    def over(own: Scope) -> None:
        nonlocal left
        recorder.open_scopes.discard(own.path)
        left -= 1
        if left:  # the last one hands its activity to the parent, which goes on in a moment
            recorder.ended()

    recorder.began(len(works) - 1)
    tasks = [_task(recorder, s, w, over) for s, w in zip(scopes, works, strict=True)]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        await _cut(tasks)
        raise
    _raise_unwind(recorder, tasks)
    results = [_outcome(task) for task in tasks]
    for result in results:
        if isinstance(result, BaseException) and not (return_exceptions and isinstance(result, Exception)):
            raise result
    return results


async def first(recorder: Recorder, scope: Scope, key: str, works: tuple[Awaitable[Any], ...]) -> Winner[Any]:
    """Run all until one finishes; the others are cancelled, and what they had begun is settled before this returns."""
    if not works:
        raise ValueError("`run.first` needs at least one branch")
    mark = recorder.mark(b"first", str(len(works)).encode())
    try:
        record = recorder.take(key, mark) if recorder.unconsumed else None
    except Unwind:
        discard(works)
        raise
    final = record.final if record is not None else None
    recorded = None if final is None else pydantic_core.from_json(final.payload)["winner"]
    scopes = _scopes(recorder, scope, key, len(works))
    winner: int | None = None
    left = len(works)

    def over(own: Scope) -> None:
        nonlocal left, winner
        recorder.open_scopes.discard(own.path)
        left -= 1
        index = scopes.index(own)
        if winner is None and recorder.halted is None and (recorded is None or recorded == index):
            winner = index
            recorder.cut([s for s in scopes if s is not own])
            for other, task in enumerate(tasks):
                if other != index:
                    task.cancel()
        if left:
            recorder.ended()

    recorder.began(len(works) - 1)
    tasks: list[asyncio.Task[Any]] = []
    tasks.extend(_task(recorder, s, w, over) for s, w in zip(scopes, works, strict=True))
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        await _cut(tasks)
        raise
    finally:
        recorder.uncut(scopes)
    _raise_unwind(recorder, tasks)
    assert winner is not None
    if final is not None:
        await recorder.recorded(final)
    else:
        recorder.check_cut(scope)
        await recorder.live(scope, key, mark, cancellable=False)
        closed = [k for k in recorder.open_approvals if k.startswith(f"{key}.")]
        recorder.open_approvals.difference_update(closed)
        change = Change(closed=closed) if closed else None
        payload = pydantic_core.to_json({"winner": winner})
        commit = recorder.write(Kind.RESULT, key, payload, fingerprint=mark, change=change)
        seq = recorder.head
        await recorder.hand_out(commit, seq)
    return Winner(winner, tasks[winner].result())


async def cut_short(recorder: Recorder, scope: Scope, key: str, scopes: Sequence[Scope]) -> None:
    """Record that one of several branches has ended the others, `scopes`, and close the questions that those had open.

    For branches that somebody else has begun, and has cut off by now (`Turns.cut`).
    """
    mark = recorder.mark(b"cut short")
    record = recorder.take(key, mark) if recorder.unconsumed else None
    if record is not None and record.final is not None:
        await recorder.recorded(record.final)
        return
    await recorder.live(scope, key, mark, cancellable=False)
    closed = [k for k in recorder.open_approvals if any(k.startswith(s.path) for s in scopes)]
    recorder.open_approvals.difference_update(closed)
    change = Change(closed=closed) if closed else None
    commit = recorder.write(Kind.RESULT, key, b"null", fingerprint=mark, change=change)
    await recorder.hand_out(commit, recorder.head)


class Branch(Generic[T]):
    """A branch that runs beside the steps of its parent; await it for its result."""

    def __init__(self, recorder: Recorder, task: asyncio.Task[T]) -> None:
        self._recorder = recorder
        self._task = task

    @property
    def done(self) -> bool:
        """Whether the branch has finished."""
        return self._task.done()

    def __await__(self) -> Generator[Any, None, T]:
        return self._join().__await__()

    async def _join(self) -> T:
        recorder = self._recorder
        if not self._task.done():
            # Whoever waits here does nothing by itself: without this a branch that waits would hold the worker.
            joined: asyncio.Future[None] = recorder.loop.create_future()

            def wake(_: Any) -> None:
                if not joined.done():
                    recorder.active += 1
                    joined.set_result(None)

            self._task.add_done_callback(wake)
            recorder.active -= 1
            recorder.kick()
            try:
                await joined
            except asyncio.CancelledError:
                if joined.cancelled():
                    recorder.active += 1
                raise
        if recorder.halted is not None:
            raise Unwind
        return self._task.result()


def spawn(recorder: Recorder, scope: Scope, key: str, work: Awaitable[T]) -> Branch[T]:
    """Start a branch at once; the run does not end before its branches do."""
    own = Scope(recorder, f"{key}/", parent=scope, shielded=scope.shielded)
    recorder.open_scopes.add(own.path)
    recorder.began(1)

    def over(_: Scope) -> None:
        recorder.open_scopes.discard(own.path)
        # One turn later: whoever awaits this branch becomes active before it stops being so.
        recorder.loop.call_soon(recorder.ended)

    task = _task(recorder, own, work, over)
    scope.spawned.append(task)
    return Branch(recorder, task)


def _task(
    recorder: Recorder, scope: Scope, work: Awaitable[T], over: Callable[[Scope], None]
) -> asyncio.Task[T]:
    """Run `work` in `scope`; `over` is called at its end, also where it was cancelled before it began."""
    task = recorder.loop.create_task(_in_scope(recorder, scope, work))
    recorder.tasks.add(task)

    def done(_: asyncio.Task[T]) -> None:
        recorder.tasks.discard(task)
        discard((work,))  # one that never began
        over(scope)

    task.add_done_callback(done)
    return task


def discard(works: Sequence[Awaitable[Any]]) -> None:
    """They will never begin; without this Python would say so for each."""
    for work in works:
        if inspect.iscoroutine(work):
            work.close()


async def _cut(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """The parent was cancelled: so are the branches, and the parent waits until they have settled.

    Being cancelled once more does not shorten that: the caller raises `CancelledError` anyway.
    """
    for task in tasks:
        task.cancel()
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError:
            continue


def _raise_unwind(recorder: Recorder, tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        if not task.cancelled():
            task.exception()  # marked as seen
    if recorder.halted is not None:
        raise Unwind


def _outcome(task: asyncio.Task[Any]) -> Any:
    if task.cancelled():
        return asyncio.CancelledError()
    error = task.exception()
    return task.result() if error is None else error
