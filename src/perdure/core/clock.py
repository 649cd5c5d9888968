"""Time, injected: nothing else in Perdure reads a clock or sleeps."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "SystemClock", "from_micros", "to_micros"]


class Clock(Protocol):
    """What the runtime needs of time. `perdure.testing.SkippingClock` is the other implementation."""

    def micros(self) -> int:
        """Now, in microseconds since the Unix epoch (UTC)."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; for leases and durations."""
        ...

    async def wait(self, event: asyncio.Event, *, until: int | None) -> None:
        """Return when `event` is set or the clock shows `until` (microseconds), whichever is first.

        A clock that skips time may jump to `until` at once: callers wait only when nothing else is to do.
        """
        ...


class SystemClock:
    """The machine's clock."""

    def micros(self) -> int:
        """Now, in microseconds since the Unix epoch."""
        return time.time_ns() // 1000

    monotonic = staticmethod(time.monotonic)

    async def wait(self, event: asyncio.Event, *, until: int | None) -> None:
        """Wait for `event`, at most until the clock shows `until`."""
        if until is None:
            await event.wait()
            return
        seconds = (until - self.micros()) / 1e6
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await event.wait()
            except TimeoutError:
                return


def to_micros(value: datetime | timedelta) -> int:
    """Microseconds of a duration, or since the Unix epoch of an aware datetime."""
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if value.tzinfo is None:
        raise ValueError(f"`{value.isoformat()}` has no time zone; use datetime.now(UTC) or set tzinfo")
    return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """The UTC datetime of microseconds since the Unix epoch."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)
