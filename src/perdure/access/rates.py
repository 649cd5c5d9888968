"""How often somebody may ask: a bucket for each, in the memory of one server.

Not in the store: a flood is to be held off before it costs a look there. With several servers behind a proxy each has
buckets of its own.
"""

from __future__ import annotations

from collections import OrderedDict

from ..core.clock import Clock, SystemClock
from ..core.errors import TooManyRequests
from ..governance import Rate
from ..governance.rate import place

__all__ = ["Buckets"]

_MOST = 20_000
"""Callers that are remembered: who was longest quiet is forgotten, and may ask as one who was quiet may."""


class Buckets:
    """One rate, for each of many callers."""

    def __init__(self, rate: Rate | str, *, clock: Clock | None = None) -> None:
        """A burst of the whole count is let through after a quiet time."""
        given = Rate.of(rate)
        self._rate = given if given.burst is not None else Rate(given.count, per=given.per, burst=given.count)
        self._clock = clock or SystemClock()
        self._used: OrderedDict[str, int] = OrderedDict()

    def take(self, who: str) -> None:
        """Count one request. Raises `TooManyRequests`, and counts nothing then."""
        now = self._now()
        at, used = place(self._used.get(who), self._rate, now, 1)
        if at > now:
            raise TooManyRequests(
                f"too many requests: {self._rate.count} in {self._rate.per.total_seconds():g} s are answered",
                retry_after=(at - now) / 1e9,
            )
        self._used[who] = used
        self._used.move_to_end(who)
        if len(self._used) > _MOST:
            self._used.popitem(last=False)

    def check(self, who: str) -> None:
        """Raise `TooManyRequests` where there is no room, without counting."""
        now = self._now()
        at, _ = place(self._used.get(who), self._rate, now, 1)
        if at > now:
            raise TooManyRequests(
                f"too many attempts: {self._rate.count} in {self._rate.per.total_seconds():g} s are looked at",
                retry_after=(at - now) / 1e9,
            )

    def _now(self) -> int:
        return int(self._clock.monotonic() * 1e9)
