"""Nominal times: cron in a zone, over both changes of the clocks, and intervals."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest

from perdure import ConfigError
from perdure.core.clock import from_micros, to_micros
from perdure.runtime.calendar.timetable import Timetable

ROME = ZoneInfo("Europe/Rome")


def local(table: Timetable, begin: datetime, count: int) -> list[str]:
    """The first firings after a moment, as people there write them, with their offset from UTC."""
    times = islice(table.firings(to_micros(begin)), count)
    return [f"{from_micros(at).astimezone(ROME):%d.%m. %H:%M %z}" for at in times]


def in_rome(cron: str) -> Timetable:
    return Timetable(cron, "Europe/Rome")


SPRING = datetime(2026, 3, 28, 12, tzinfo=ROME)  # on the 29th, 02:00 to 03:00 does not exist
AUTUMN = datetime(2026, 10, 24, 12, tzinfo=ROME)  # on the 25th, 02:00 to 03:00 comes twice


def test_nine_in_rome_is_nine_in_rome_all_year() -> None:
    assert local(in_rome("0 9 * * *"), SPRING, 2) == ["29.03. 09:00 +0200", "30.03. 09:00 +0200"]
    assert local(in_rome("0 9 * * *"), AUTUMN, 2) == ["25.10. 09:00 +0100", "26.10. 09:00 +0100"]


def test_a_time_that_does_not_exist_comes_at_the_end_of_the_gap() -> None:
    assert local(in_rome("30 2 * * *"), SPRING, 2) == ["29.03. 03:00 +0200", "30.03. 02:30 +0200"]
    assert local(in_rome("0,30 2 * * *"), SPRING, 3) == [
        "29.03. 03:00 +0200",  # both of them, once
        "30.03. 02:00 +0200",
        "30.03. 02:30 +0200",
    ]


def test_a_time_that_occurs_twice_counts_the_first_time() -> None:
    assert local(in_rome("30 2 * * *"), AUTUMN, 2) == ["25.10. 02:30 +0200", "26.10. 02:30 +0100"]


@pytest.mark.parametrize("minute", range(0, 60, 7))
def test_within_the_second_passage_nothing_comes_again(minute: int) -> None:
    """A worker that starts in the repeated hour looks for what is later than now, not earlier."""
    now = datetime(2026, 10, 25, 2, minute, tzinfo=ROME, fold=1)
    assert local(in_rome("30 2 * * *"), now, 1) == ["26.10. 02:30 +0100"]
    assert local(in_rome("50 1,2,3 * * *"), now, 2) == ["25.10. 03:50 +0100", "26.10. 01:50 +0100"]


def test_every_half_hour_goes_by_time_that_passes() -> None:
    assert local(in_rome("*/30 * * * *"), datetime(2026, 3, 29, 1, tzinfo=ROME), 3) == [
        "29.03. 01:30 +0100",
        "29.03. 03:00 +0200",
        "29.03. 03:30 +0200",
    ]
    assert local(in_rome("*/30 * * * *"), datetime(2026, 10, 25, 1, 30, tzinfo=ROME), 5) == [
        "25.10. 02:00 +0200",
        "25.10. 02:30 +0200",
        "25.10. 02:00 +0100",
        "25.10. 02:30 +0100",
        "25.10. 03:00 +0100",
    ]


@pytest.mark.parametrize("cron", ["30 2 * * *", "0,30 1-3 * * *", "*/20 * * * *", "15 * * * *", "@daily"])
@pytest.mark.parametrize("zone", ["Europe/Rome", "America/New_York", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("month", [3, 10])
def test_times_only_go_forward_and_are_found_from_anywhere(cron: str, zone: str, month: int) -> None:
    """Over the changes of the clocks: in order, none twice, the same whichever moment one begins to look from."""
    table = Timetable(cron, zone)
    begin = to_micros(datetime(2026, month, 1, tzinfo=UTC))
    end = begin + to_micros(timedelta(days=40))
    times = list(takewhile(lambda at: at < end, table.firings(begin)))

    assert all(a < b for a, b in pairwise(times))
    for before, at in list(pairwise(times))[:: max(1, len(times) // 40)]:
        assert table.next_after(before) == at
        assert table.next_after(at - 1) == at
        assert table.last_until(at - 1, since=times[0]) == before


def test_the_latest_of_a_rare_timetable_is_found() -> None:
    table = Timetable("0 0 29 2 *")  # leap years
    at = to_micros(datetime(2024, 2, 29, tzinfo=UTC))
    assert table.last_until(to_micros(datetime(2027, 6, 1, tzinfo=UTC)), since=at) == at
    assert table.next_after(at) == to_micros(datetime(2028, 2, 29, tzinfo=UTC))


def test_intervals_are_aligned_to_the_epoch() -> None:
    table = Timetable(every=to_micros(timedelta(hours=6)))
    for minute in (0, 1, 359):
        now = datetime(2026, 5, 4, tzinfo=UTC) + timedelta(minutes=minute)
        assert table.next_after(to_micros(now)) == to_micros(datetime(2026, 5, 4, 6, tzinfo=UTC))
    assert table.last_until(to_micros(datetime(2026, 5, 4, 6, tzinfo=UTC)), since=0) == to_micros(
        datetime(2026, 5, 4, 6, tzinfo=UTC)
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("61 * * * *", "UTC", None), "`61 * * * *` is not a cron expression (bad minute): write"),
        (("every day", "UTC", None), "(wrong number of fields)"),
        (("0 0 31 2 *", "UTC", None), "`0 0 31 2 *` is not a cron expression (bad day-of-month)"),
        (("* * */20 * 1L", "UTC", None), "`* * */20 * 1L` never comes"),
        (("0 9 * * *", "Rome", None), "`Rome` is not a time zone: write a name such as `Europe/Rome`"),
        (("0 9 * * *", "../Rome", None), "`../Rome` is not a time zone"),
        (("0 9 * * *", "Europe", None), "`Europe` is not a time zone"),
        (("0 9 * * *", "", None), "`` is not a time zone"),
        ((None, "UTC", 0), "every `0 s` is not whole seconds"),
        ((None, "UTC", 1_500_000), "every `1.5 s` is not whole seconds"),
        ((None, "UTC", None), "it has no times"),
        (("0 9 * * *", "UTC", 60_000_000), "cron `0 9 * * *` and every `60 s`: give one of them"),
    ],
)
def test_what_cannot_be_understood_is_named(given: tuple[str | None, str, int | None], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Timetable(*given)
    assert said in str(refused.value)


def test_a_timetable_in_words() -> None:
    assert Timetable("0 9 * * 1-5").words() == "At 09:00 on Monday through Friday"
    assert Timetable(every=90_000_000).words() == "every 0:01:30"
