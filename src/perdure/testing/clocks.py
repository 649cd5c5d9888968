"""Clocks for tests: one that stands still until it is moved, one that jumps to whatever is waited for."""

from __future__ import annotations

import asyncio

__all__ = ["ManualClock", "SkippingClock"]

START = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z: a time that looks like one, so that a zero by mistake is seen."""


class ManualClock:
    """Stands still until `advance` is called. Read it from any thread; move it and wait on it in one loop."""

    def __init__(self, start: int = START) -> None:
        self._start = start
        self._micros = start
        self._moved: set[asyncio.Event] = set()

    def micros(self) -> int:
        """What the clock shows, in microseconds since the Unix epoch."""
        return self._micros

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return (self._micros - self._start) / 1e6

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`, and wake what waits for a time that has come. Raises `ValueError` if negative."""
        if seconds < 0:
            raise ValueError(f"`{seconds}` seconds would turn the clock back; make a new clock instead")
        self._micros += round(seconds * 1e6)
        for moved in self._moved:
            moved.set()

    async def wait(self, event: asyncio.Event, *, until: int | None) -> None:
        """Return when `event` is set or the clock was moved to `until` or beyond."""
        moved = asyncio.Event()
        self._moved.add(moved)
        try:
            while not event.is_set() and (until is None or self._micros < until):
                await _first_of(event, moved)
                moved.clear()
        finally:
            self._moved.discard(moved)


class SkippingClock:
    """Jumps to the time that is waited for, so that a wait of three days takes no time.

    Of several waits the earliest ends first. Before a jump the loop gets `turns` turns and threads get `settle`
    real seconds, so that work in flight, which may set the event, is not overtaken. A bare loop that waits again
    and again makes time race: that is its nature.
    """

    def __init__(self, start: int = START, *, turns: int = 10, settle: float = 0.002) -> None:
        self._start = start
        self._micros = start
        self._turns = turns
        self._settle = settle
        self._waits: list[int] = []

    def micros(self) -> int:
        """What the clock shows, in microseconds since the Unix epoch."""
        return self._micros

    def monotonic(self) -> float:
        """Seconds by which the clock has been moved."""
        return (self._micros - self._start) / 1e6

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`, for work that takes time without waiting. Raises `ValueError` if negative."""
        if seconds < 0:
            raise ValueError(f"`{seconds}` seconds would turn the clock back; make a new clock instead")
        self._micros += round(seconds * 1e6)

    async def wait(self, event: asyncio.Event, *, until: int | None) -> None:
        """Return when `event` is set, or else jump to `until` once no earlier wait is left."""
        if until is None:
            await event.wait()
            return
        self._waits.append(until)
        try:
            while self._micros < until and not await self._settled(event):
                if until == min(self._waits):
                    self._micros = max(self._micros, until)
        finally:
            self._waits.remove(until)

    async def _settled(self, event: asyncio.Event) -> bool:
        for _ in range(self._turns):
            if event.is_set():
                return True
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(self._settle):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True


async def _first_of(*events: asyncio.Event) -> None:
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
