"""Dates as people and models say them, as the numbers that ledgers compare."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias

from ...core.errors import ConfigError

__all__ = ["ALWAYS", "NEVER", "When", "moment", "shown", "valid"]

When: TypeAlias = datetime | date | str | int
"""An aware datetime; a date (its first moment, UTC); `2026`, `2026-06`, an ISO date or time; microseconds."""

ALWAYS = -(1 << 62)
"""Nobody said when it begins: it sorts before every date."""
NEVER = 1 << 62
"""Nobody said when it ends: it sorts behind every date."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
"""What a datetime can say. A fact of another time could be kept, and never read."""
_PARTIAL = re.compile(r"(\d{4})(?:-(\d{2}))?")


def moment(when: When) -> int:
    """Microseconds since 1970. Raises `ConfigError` for what is no time, or has no time zone."""
    if isinstance(when, bool):
        raise _wrong(when)
    if isinstance(when, int):
        if not _FIRST <= when <= _LAST:
            raise _wrong(when)
        return when
    if isinstance(when, str):
        when = _read(when)
    if not isinstance(when, datetime):
        when = datetime(when.year, when.month, when.day, tzinfo=UTC)
    if when.tzinfo is None:
        raise ConfigError(
            f"`{when.isoformat()}` has no time zone: write `{when.isoformat()}+00:00`, or give a date alone"
        )
    return (when - _EPOCH) // timedelta(microseconds=1)


def valid(micros: int) -> datetime | None:
    """As a value; None for `ALWAYS` and `NEVER`."""
    return None if micros in (ALWAYS, NEVER) else _EPOCH + timedelta(microseconds=micros)


def shown(when: When | None) -> str | None:
    """As it stands in a journal and before a policy: ISO 8601, UTC."""
    return None if when is None else (_EPOCH + timedelta(microseconds=moment(when))).isoformat()


def _read(text: str) -> datetime | date:
    text = text.strip()
    try:
        partial = _PARTIAL.fullmatch(text)
        if partial is not None:
            return date(int(partial[1]), int(partial[2] or 1), 1)
        if len(text) == 10:  # YYYY-MM-DD
            return date.fromisoformat(text)
        return datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(text) from None


def _wrong(when: object) -> ConfigError:
    return ConfigError(
        f"`{str(when)[:80]}` is not a time: write `2026`, `2026-06`, `2026-06-01`, or a time with its zone as in "
        "`2026-06-01T09:00:00+00:00`"
    )
