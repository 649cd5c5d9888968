"""What comes of a firing: overlap, catching up, jitter. `plan` alone, driven as the engine does it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from perdure.journal import ScheduleRecord
from perdure.runtime.calendar.schedule import LATE, ScheduleSpec, ScheduleState, nominal_text, plan, run_id

HOUR = 3_600_000_000
BEGIN = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


@dataclass
class Desk:
    """A schedule, a clock, and runs that go on until they are ended."""

    spec: ScheduleSpec
    now: int = BEGIN
    record: ScheduleRecord = field(init=False)
    going_on: bool = False
    cancelled: int = 0
    started: list[int] = field(default_factory=list)
    """in hours since the beginning"""

    def __post_init__(self) -> None:
        self.record = ScheduleRecord(
            tenant="t",
            name="s",
            agent="a",
            spec=self.spec.model_dump_json(),
            next=self.spec.timetable.next_after(self.now),
        )

    def at(self, hours: float) -> list[int]:
        """Let it be that late; what was started then."""
        self.now = BEGIN + round(hours * HOUR)
        return self.look()

    def ended(self) -> list[int]:
        """The run before has ended; what was started then."""
        self.going_on = False
        return self.look()

    def look(self) -> list[int]:
        before = len(self.started)
        while (todo := plan(self.record, self.spec, now=self.now, going_on=self.going_on)) is not None:
            self.record = replace(todo.record, revision=self.record.revision + 1)
            self.cancelled += todo.cancel
            self.started += [(at - BEGIN) // HOUR for at in todo.start]
            self.going_on = self.going_on or bool(todo.start)
            assert self.record.revision < 1000
        return self.started[before:]

    @property
    def state(self) -> ScheduleState:
        return ScheduleState.model_validate_json(self.record.state)

    @property
    def counted(self) -> tuple[int, int, int]:
        """Started, skipped, missed."""
        return self.state.started, self.state.skipped, self.state.missed


def hourly(**options: Any) -> Desk:
    window = options.pop("catch_up_window", 24 * HOUR)
    return Desk(ScheduleSpec(agent="a", version="1", every=HOUR, catch_up_window=window, **options))


def test_a_firing_comes_at_its_time_and_once() -> None:
    desk = hourly()
    assert desk.at(0.99) == []
    assert desk.at(1) == [1]
    assert desk.record.last_run == "s-20260101T0100Z"
    assert desk.ended() == []
    assert desk.at(1.9) == []
    assert desk.at(2) == [2]


def test_skip_passes_over_firings_while_the_run_before_goes_on() -> None:
    desk = hourly()
    assert desk.at(1) == [1]
    assert desk.at(2) == desk.at(3) == []
    assert desk.ended() == []
    assert desk.at(4) == [4]
    assert desk.counted == (2, 2, 0)
    assert desk.state.skipped_at == BEGIN + 3 * HOUR


def test_buffer_keeps_one_firing_for_later() -> None:
    desk = hourly(overlap="buffer")
    assert desk.at(1) == [1]
    assert desk.at(2) == desk.at(3) == []
    assert desk.ended() == [2]
    assert desk.record.last_run == "s-20260101T0200Z"
    assert desk.ended() == []
    assert desk.counted == (2, 1, 0)


def test_cancel_ends_the_run_before_and_starts_after_it() -> None:
    desk = hourly(overlap="cancel")
    assert desk.at(1) == [1]
    assert desk.at(2) == []
    assert desk.cancelled == 1
    assert desk.at(3) == []  # it cleans up for long: the newest firing waits, the one before is passed over
    assert desk.ended() == [3]
    assert desk.counted == (2, 1, 0)


def test_allow_starts_beside_the_run_before() -> None:
    desk = hourly(overlap="allow")
    assert desk.at(1) + desk.at(2) + desk.at(3) == [1, 2, 3]
    assert desk.counted == (3, 0, 0)


def test_latest_makes_up_for_all_missed_by_one() -> None:
    desk = hourly()
    assert desk.at(7.5) == [7]
    assert desk.counted == (1, 0, 6)
    assert desk.state.missed_at == BEGIN + 6 * HOUR
    desk.ended()
    assert desk.at(8) == [8]


def test_latest_within_a_window() -> None:
    desk = hourly(catch_up_window=HOUR // 4)
    assert desk.at(7.5) == []
    assert desk.counted == (0, 0, 7)
    assert desk.at(8.2) == [8]


def test_none_starts_only_what_is_on_time() -> None:
    desk = hourly(catch_up="none")
    assert desk.at(7.5) == []
    assert desk.counted == (0, 0, 7)
    assert desk.at(8 + LATE / HOUR) == [8]
    desk.ended()
    assert desk.at(9 + (LATE + 1) / HOUR) == []


def test_all_makes_up_for_each_in_order_one_after_the_other() -> None:
    """Whatever the overlap policy: what is made up for waits its turn, and is neither skipped nor cancelled."""
    for overlap in ("skip", "buffer", "cancel"):
        desk = hourly(catch_up="all", overlap=overlap)
        assert desk.at(3.5) == [1]
        assert desk.ended() == [2]
        assert desk.at(4) == []  # on time, but the turn of another
        assert desk.ended() == [3]
        assert desk.ended() == [4]
        assert desk.counted == (4, 0, 0), overlap
        assert desk.cancelled == 0


def test_all_at_once_where_overlap_is_allowed() -> None:
    desk = hourly(catch_up="all", overlap="allow", catch_up_window=500 * HOUR)
    assert desk.at(250.5) == list(range(1, 251))
    assert desk.record.revision == 3  # a hundred a transaction


def test_all_within_the_window() -> None:
    desk = hourly(catch_up="all", overlap="allow", catch_up_window=3 * HOUR)
    assert desk.at(10.5) == [8, 9, 10]
    assert desk.counted == (3, 0, 7)


def test_on_time_under_all_the_overlap_policy_holds() -> None:
    desk = hourly(catch_up="all")
    assert desk.at(1) == [1]
    assert desk.at(2) == []
    assert desk.counted == (1, 1, 0)


@pytest.mark.parametrize("catch_up", ["latest", "none", "all"])
def test_years_of_downtime_are_passed_over_quickly(catch_up: str) -> None:
    spec = ScheduleSpec(
        agent="a",
        version="1",
        cron="* * * * *",
        catch_up=catch_up,
        catch_up_window=HOUR // 10,
        overlap="allow",
    )
    desk = Desk(spec)

    started = desk.at(24 * 365 * 10 + 0.001)

    assert len(started) == (6 if catch_up == "all" else 1)
    assert desk.record.next == BEGIN + 24 * 365 * 10 * HOUR + 60_000_000
    assert desk.state.missed >= 2000


def test_jitter_delays_by_the_same_part_everywhere_and_keeps_the_name() -> None:
    desk = hourly(jitter=HOUR // 2)
    delays = [desk.spec.due(BEGIN + n * HOUR, "s") - (BEGIN + n * HOUR) for n in range(200)]
    assert all(0 <= delay <= HOUR // 2 for delay in delays)
    assert len(set(delays)) > 190
    assert delays != [desk.spec.due(BEGIN + n * HOUR, "other") - (BEGIN + n * HOUR) for n in range(200)]

    due = desk.spec.due(BEGIN + HOUR, "s")
    assert desk.at((due - 1 - BEGIN) / HOUR) == []
    assert desk.at((due - BEGIN) / HOUR) == [1]
    assert desk.record.last_run == "s-20260101T0100Z"


def test_a_paused_schedule_does_nothing() -> None:
    desk = hourly()
    desk.record = replace(desk.record, paused=True)
    assert desk.at(5) == []
    assert desk.counted == (0, 0, 0)


def test_names_of_runs_and_times() -> None:
    assert run_id("daily", BEGIN) == "daily-20260101T0000Z"
    assert run_id("daily", BEGIN + 5_000_000) == "daily-20260101T000005Z"
    assert nominal_text(BEGIN + 5_000_000) == "2026-01-01T00:00:05Z"
