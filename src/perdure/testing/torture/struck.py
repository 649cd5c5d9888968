"""A store as one worker sees it while a schedule has its way with it.

As `KillingStore` it dies at a boundary; beyond that it can stand still there until it is let go on, or lose its store
for a moment.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Any

from ...core.errors import StoreUnavailable
from ...core.futures import Steady
from ...journal import Append, Kind, NewRun, RunRecord, Store
from ..kills import KillingStore
from .schedule import Hit, general

__all__ = ["Places", "StruckStore"]

Places = list[tuple[tuple[int, str], ...]]
"""Of each append, in their order, kinds of its entries and keys that hold from run to run."""

_ALWAYS = ("url", "now", "changes", "close")


class StruckStore(KillingStore):
    """One worker's view of `inner`, until the first of `hits` that ends it. What strikes is taken from `hits`."""

    def __init__(self, inner: Store, hits: deque[Hit]) -> None:
        super().__init__(inner)
        self.hits = hits
        self.places: Places = []
        self.frozen = asyncio.Event()
        """set once the worker stands still"""
        self.struck = asyncio.Event()
        """set once it is killed, or stands still"""
        self._thawed = asyncio.Event()
        self._held: list[tuple[Append, Steady[bool]]] = []
        self._renewals: list[tuple[Any, Future[bool]]] = []
        self._next()

    def _next(self) -> None:
        self.at = self.hits[0].at if self.hits else None
        self.reached, self._count = False, 0

    @property
    def _still(self) -> bool:
        return self.frozen.is_set() and not self._thawed.is_set()

    def __getattr__(self, name: str) -> Any:
        if "_thawed" not in self.__dict__ or name in _ALWAYS or not self._still:
            return super().__getattr__(name)
        found = getattr(self.inner, name)
        if inspect.iscoroutinefunction(found):
            return partial(self._later, found)
        return found

    async def _later(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        await self._thawed.wait()
        return await function(*args, **kwargs)

    def renew(self, session: Any) -> Future[bool]:
        """Renew the lease; of one that stands still, when it goes on."""
        if not self._still:
            return self.__getattr__("renew")(session)
        told: Future[bool] = Future()
        self._renewals.append((session, told))
        return told

    def thaw(self) -> None:
        """Let one go on that stands still."""
        self._thawed.set()
        for append, told in self._held:
            _pass_on(self.inner.append(append), told)
        for session, told in self._renewals:
            _pass_on(self.inner.renew(session), told)

    async def create(self, new: NewRun) -> tuple[RunRecord, bool]:
        """Accept a run: a place as an append of its first entry is."""
        if self.killed.is_set():
            return await super().create(new)
        if self._still:
            await self._thawed.wait()
        self.places.append(((Kind.STARTED, ""),))
        here = self._here([(Kind.STARTED, "")])
        if here == "before":
            await self._strike_async()
        made = await self.inner.create(new)
        if here == "after":
            await self._strike_async()
        return made

    async def _strike_async(self) -> None:
        hit = self._strike()
        if hit.kind == "kill":
            self.__getattr__("create")  # raises, for it is dead
        elif hit.kind == "freeze":
            await self._thawed.wait()
        else:
            raise _away()

    def append(self, append: Append) -> asyncio.Future[bool]:
        """Append, or what the schedule has in store."""
        if self.killed.is_set():
            return super().append(append)
        if self._still:
            return self._hold(append)
        entries = tuple((e.kind, general(e.key)) for e in append.entries)
        self.places.append(entries)
        here = self._here(list(entries))
        if here is None:
            return self.inner.append(append)
        if here == "before":
            hit = self._strike()
            if hit.kind == "kill":
                return super().append(append)
            if hit.kind == "freeze":
                return self._hold(append)
            return _failed(_away())
        told: Steady[bool] = Steady()
        self.inner.append(append).add_done_callback(partial(self._written, append, told))
        return told

    def _written(self, append: Append, told: Steady[bool], future: asyncio.Future[bool]) -> None:
        error = future.exception()
        if error is not None:
            told.set_exception(error)
            told.exception()
            return
        hit = self._strike()
        if hit.kind == "freeze":
            asyncio.ensure_future(self._thawed.wait()).add_done_callback(
                lambda _: told.done() or told.set_result(future.result())
            )
            return
        told.set_exception(_away() if hit.kind == "store" else _dead(self))
        told.exception()

    def _strike(self) -> Hit:
        hit = self.hits.popleft()
        if hit.kind == "kill":
            self.killed.set()
        elif hit.kind == "freeze":
            self.frozen.set()
        else:
            self._next()
            return hit
        self.struck.set()
        return hit

    def _hold(self, append: Append) -> asyncio.Future[bool]:
        told: Steady[bool] = Steady()
        self._held.append((append, told))
        return told


def _pass_on(future: Any, told: Any) -> None:
    def tell(done: Any) -> None:
        error = done.exception()
        if told.done():
            return
        if error is None:
            told.set_result(done.result())
        else:
            told.set_exception(error)
            told.exception()

    future.add_done_callback(tell)


def _dead(store: StruckStore) -> BaseException:
    try:
        store.__getattr__("append")
    except Exception as error:
        return error
    raise AssertionError("it is alive")


def _away() -> StoreUnavailable:
    return StoreUnavailable("the store of this trial is away for a moment, as its schedule says")


def _failed(error: Exception) -> asyncio.Future[bool]:
    told: Steady[bool] = Steady()
    told.set_exception(error)
    told.exception()
    return told
