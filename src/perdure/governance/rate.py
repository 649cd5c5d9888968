"""Rates as values, and the arithmetic of a place in the queue.

The generic cell rate algorithm (ITU-T I.371, annex A; "virtual scheduling"): one number a limit, the time at which all
that was taken so far will have been used up. Whoever comes takes a place there and then, also one in the future; the
next gets a later one. So nobody who waits has to ask again, and nobody is overtaken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..core.clock import to_micros
from ..core.errors import ConfigError

__all__ = ["Rate", "place"]

_UNITS = {
    "s": 1, "sec": 1, "second": 1,
    "m": 60, "min": 60, "minute": 60,
    "h": 3600, "hour": 3600,
    "d": 86400, "day": 86400,
}  # fmt: skip
_TEXT = re.compile(r"\s*(\d+)\s*/\s*(\d+(?:\.\d+)?)?\s*([a-z]+)\s*")
_LONGEST = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many in any time of length `per`. Raises `ConfigError` where the numbers make no sense.

    >>> Rate(10)
    >>> Rate(100, per=timedelta(minutes=1), burst=20)
    >>> Rate.of("100/min")
    """

    count: int
    per: timedelta = timedelta(seconds=1)
    burst: int | None = None
    """so many may go at once after a quiet time; None: they go evenly spaced. With a burst the first `per` may hold
    `burst - 1` more than `count`"""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if type(self.count) is not int or not 1 <= self.count <= 10**9:
            raise ConfigError(f"rate `{self.count}` is not a count from 1 to 1,000,000,000")
        given: Any = self.per
        if not isinstance(given, timedelta) or not timedelta(milliseconds=1) <= given <= _LONGEST:
            raise ConfigError(
                f"`per` of a rate is `{self.per!r}`: give a timedelta from 1 ms to {_LONGEST.days} days"
            )
        if self.burst is not None and (type(self.burst) is not int or not 1 <= self.burst <= self.count):
            raise ConfigError(
                f"burst `{self.burst}` of rate `{self.count}` is not between 1 and the rate: leave it out, or give less"
            )

    @classmethod
    def of(cls, given: Rate | str) -> Rate:
        """A rate as it is, or read from `10/s`, `100/min`, `1000/h`, `5000/day`, `3/10s`."""
        if isinstance(given, Rate):
            return given
        found = _TEXT.fullmatch(given) if isinstance(given, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]
        unit = None if found is None else _UNITS.get(found[3])
        if found is None or unit is None:
            raise ConfigError(
                f"rate `{given}` cannot be read: write `10/s`, `100/min`, `1000/h` or `5000/day`"
            )
        return cls(int(found[1]), per=timedelta(seconds=float(found[2] or 1) * unit))

    @property
    def interval(self) -> int:
        """Nanoseconds from one to the next; rounded up, so that the rate is never exceeded."""
        return -(-to_micros(self.per) * 1000 // self.count)

    def __str__(self) -> str:
        burst = "" if self.burst is None else f", {self.burst} at once"
        seconds = self.per.total_seconds()
        name = {1: "s", 60: "min", 3600: "h", 86400: "day"}.get(seconds)  # pyright: ignore[reportArgumentType, reportCallIssue]
        return f"{self.count}/{name or f'{seconds:g}s'}{burst}"


def place(used_until: int | None, rate: Rate, now: int, cost: int) -> tuple[int, int]:
    """Where the next taker stands: the time of its place, and `used_until` after it. All in nanoseconds.

    A taker goes before what it takes is paid for, whatever that is: those after it wait for it.
    """
    at = now if used_until is None else max(now, used_until - ((rate.burst or 1) - 1) * rate.interval)
    return at, max(now, used_until or now) + cost * rate.interval
