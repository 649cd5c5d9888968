"""When a schedule fires: cron in a time zone, or an interval.

**Daylight saving**, as Debian's cron has it: of a schedule that names its minute and its hour, a time that the clocks
skip is made up for at the first minute after the gap, and a time that they show twice counts the first time. A schedule
whose minute or hour begins with `*`, one with a field for seconds, and an interval go by time that really passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from ...core.clock import from_micros, to_micros
from ...core.errors import ConfigError

__all__ = ["Timetable"]

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

HOW = "write `MINUTE HOUR DAY MONTH WEEKDAY`, such as `0 9 * * 1-5` for nine o'clock from Monday to Friday"

SPANS = tuple(
    timedelta(**span) for span in ({"minutes": 1}, {"hours": 1}, {"days": 1}, {"days": 32}, {"days": 400})
)
"""How far back the latest firing is looked for: each step meets few of those that the one before would have met."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """Nominal times, in microseconds since the epoch. Raises `ConfigError` where it cannot be understood."""

    cron: str | None = None
    timezone: str = "UTC"
    every: int | None = None
    """microseconds; aligned to the epoch, so that a restart does not shift it"""

    def __post_init__(self) -> None:
        if self.cron is None and self.every is None:
            raise ConfigError(f"it has no times: give a cron expression or `every=`; {HOW}")
        if self.cron is not None and self.every is not None:
            raise ConfigError(f"cron `{self.cron}` and every `{self.every / 1e6:g} s`: give one of them")
        if self.every is not None and (self.every < 1_000_000 or self.every % 1_000_000):
            raise ConfigError(f"every `{self.every / 1e6:g} s` is not whole seconds, and at least one")
        zone = self.zone()
        if self.cron is None:
            return
        try:
            self._from(datetime(2000, 1, 1, tzinfo=zone))
        except CronSimError as error:
            what = str(error)
            raise ConfigError(
                f"`{self.cron}` is not a cron expression ({what[:1].lower()}{what[1:]}): {HOW}"
            ) from None
        if self.next_after(to_micros(datetime(2000, 1, 1, tzinfo=UTC))) is None:
            raise ConfigError(f"`{self.cron}` never comes: no day of fifty years is like that")

    def zone(self) -> tzinfo:
        """The time zone."""
        if self.timezone.upper() == "UTC":
            return UTC
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones
            raise ConfigError(
                f"`{self.timezone[:80]}` is not a time zone: write a name such as `Europe/Rome` or `UTC`"
            ) from None

    def words(self) -> str:
        """The timetable for people, without its time zone."""
        if self.cron is None:
            assert self.every is not None
            return f"every {timedelta(microseconds=self.every)}"
        return self._from(datetime(2000, 1, 1, tzinfo=UTC)).explain()

    def firings(self, after: int) -> Iterator[int]:
        """The nominal times later than `after`, in order; ends where none comes in fifty years."""
        if self.every is not None:
            at = after - after % self.every
            while True:
                at += self.every
                yield at
        last = after
        for found in self._from(from_micros(after).astimezone(self.zone())):
            at = to_micros(found)
            if at > last:  # where clocks go back, cron goes through the hour again
                last = at
                yield at

    def next_after(self, after: int) -> int | None:
        """The first nominal time later than `after`."""
        return next(self.firings(after), None)

    def last_until(self, until: int, *, since: int) -> int:
        """The latest nominal time that is not later than `until`; `since` is one of them."""
        if self.every is not None:
            return until - until % self.every
        for back in (*(until - to_micros(span) for span in SPANS), since):
            last = None
            for at in self.firings(max(back, since)):
                if at > until:
                    break
                last = at
            if last is not None:
                return last
        return since

    def _from(self, moment: datetime) -> CronSim:
        assert self.cron is not None
        return CronSim(MACROS.get(self.cron.strip().lower(), self.cron), moment)
