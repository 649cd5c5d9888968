"""Periods of a calendar in a time zone: the hour, day, week or month in which a shared budget holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..core.clock import from_micros, to_micros
from ..core.errors import ConfigError

__all__ = ["PERIODS", "Per", "Period", "period_at", "zone"]

Per = Literal["hour", "day", "week", "month"]
"""How long a shared budget holds before it begins anew."""

PERIODS: tuple[Per, ...] = ("hour", "day", "week", "month")
"""From the shortest."""


@dataclass(frozen=True, slots=True)
class Period:
    """One of them. Times are microseconds since the Unix epoch."""

    name: str
    """`2026-11-25T14+0100`, `2026-11-25`, `2026-W48`, `2026-11`, or `always`: sorts by time within a kind"""
    starts: int
    ends: int | None
    """None: never"""


ALWAYS = Period("always", 0, None)
"""Of a budget that never begins anew."""


def zone(name: str) -> tzinfo:
    """A time zone by its name in the IANA database. Raises `ConfigError`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"`{name}` is no time zone that is known: write one as `Europe/Berlin`, or `UTC`"
        ) from None


def period_at(per: Per | None, now: int, where: tzinfo) -> Period:
    """The period that `now` lies in. Weeks begin on Monday (ISO 8601), days at midnight of the zone."""
    if per is None:
        return ALWAYS
    local = from_micros(now).astimezone(where)
    if per == "hour":
        # Full hours since the epoch's, as the zone's offset has them: also in the hour that a clock shows twice.
        begins = local.replace(minute=0, second=0, microsecond=0)
        start = now - (now - to_micros(begins)) % 3_600_000_000
        return Period(begins.strftime("%Y-%m-%dT%H%z"), start, start + 3_600_000_000)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if per == "day":
        return _between(midnight.strftime("%Y-%m-%d"), midnight, midnight + timedelta(days=1))
    if per == "week":
        monday = midnight - timedelta(days=midnight.weekday())
        year, week, _ = monday.isocalendar()
        return _between(f"{year}-W{week:02}", monday, monday + timedelta(days=7))
    first = midnight.replace(day=1)
    after = (first + timedelta(days=32)).replace(day=1)
    return _between(first.strftime("%Y-%m"), first, after)


def _between(name: str, start: datetime, end: datetime) -> Period:
    # Sums of a local time and days are local times again, whatever the clocks did in between.
    return Period(name, to_micros(start), to_micros(end))
