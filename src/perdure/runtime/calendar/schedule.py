"""Schedules: what one starts and when, and what is to be done about a firing that has come due.

`plan` is where all policies are. It looks at nothing but its arguments, so that a year of them can be tested in a
moment; the engine carries out what it says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ...core.clock import from_micros
from ...journal import ScheduleRecord
from .timetable import Timetable

__all__ = [
    "SCHEDULED_AT",
    "SCHEDULE_LABEL",
    "CatchUp",
    "Overlap",
    "Plan",
    "ScheduleSpec",
    "ScheduleState",
    "nominal_text",
    "plan",
    "run_id",
]

Overlap = Literal["skip", "buffer", "cancel", "allow"]
"""What comes of a firing while the run before still goes on."""

CatchUp = Literal["latest", "all", "none"]
"""What comes of firings that nobody was there for."""

SCHEDULE_LABEL = "schedule"
SCHEDULED_AT = "scheduled_at"
"""Labels of the runs that schedules start: the schedule's name, and the nominal time (ISO 8601, UTC)."""

LATE = 60_000_000
"""Microseconds after which a firing counts as late: nobody was there for it."""

MOST_COUNTED = 2000
"""Missed firings that are counted one by one (each takes 50 µs of the loop); of more, the rest is passed over."""

MOST_AT_ONCE = 100
"""Runs that one transaction starts."""

MOST_SEEN = 50
"""Earlier declarations that are remembered."""


class ScheduleSpec(BaseModel):
    """A schedule as the code declares it. Durations are microseconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    agent: str
    version: str
    cron: str | None = None
    timezone: str = "UTC"
    every: int | None = None
    jitter: int = 0
    input: str = "null"
    """JSON"""
    overlap: Overlap = "skip"
    catch_up: CatchUp = "latest"
    catch_up_window: int
    labels: dict[str, str] = {}
    deadline: int | None = None
    priority: int = 0
    needs: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()
    """what its runs may do, by the word of the application that declares it; sorted"""

    @property
    def timetable(self) -> Timetable:
        """Its nominal times."""
        return Timetable(self.cron, self.timezone, self.every)

    @property
    def digest(self) -> str:
        """What tells two declarations of one name apart."""
        # what is of a later release counts where it says something: else each schedule would be declared anew
        told = self.model_dump_json(exclude=None if self.grants else {"grants"})
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def due(self, nominal: int, name: str) -> int:
        """When the firing of a nominal time is carried out: that time, and its own part of the jitter.

        The same in every process: the part is a hash of name and time.
        """
        if not self.jitter:
            return nominal
        part = hashlib.sha256(f"{name}\0{nominal}".encode()).digest()
        return nominal + int.from_bytes(part[:8], "big") % (self.jitter + 1)


class ScheduleState(BaseModel):
    """What a schedule's row remembers. Times are nominal, in microseconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    started: int = 0
    skipped: int = 0
    """firings passed over because the run before still went on"""
    skipped_at: int | None = None
    missed: int = 0
    """firings that nobody was there for, and that were not made up for"""
    missed_at: int | None = None
    waits: int | None = None
    """a firing that waits for the run before to end"""
    behind: int | None = None
    """firings up to this one are made up for, one after the other"""
    digest: str = ""
    """of the spec that stands in the row"""
    seen: tuple[str, ...] = ()
    """digests that stood there, the latest last"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about a schedule now: write the row, with the runs that it starts."""

    record: ScheduleRecord
    start: Sequence[int] = ()
    """the nominal times of the runs to start, oldest first"""
    cancel: bool = False
    """the run before is to be cancelled"""
    note: str = ""
    """what a log should say"""


def nominal_text(at: int) -> str:
    """A nominal time as it stands in labels: ISO 8601, UTC, to the second."""
    return f"{from_micros(at):%Y-%m-%dT%H:%M:%SZ}"


def run_id(name: str, at: int) -> str:
    """The id of the run that a schedule starts for a nominal time: `NAME-20261121T0900Z`."""
    moment: datetime = from_micros(at)
    return f"{name}-{moment:%Y%m%dT%H%M}{f'{moment:%S}' if moment.second else ''}Z"


def plan(record: ScheduleRecord, spec: ScheduleSpec, *, now: int, going_on: bool) -> Plan | None:
    """What to do about a schedule now, one step of it; None: nothing (more), or it has to wait.

    `going_on`: the run that it started last has not ended.
    """
    state = ScheduleState.model_validate_json(record.state)
    if record.paused:
        return None
    if state.waits is not None and not going_on:
        return _started(record, state.model_copy(update={"waits": None}), [state.waits], record.next)
    if record.next is None or spec.due(record.next, record.name) > now:
        return None
    times, following = _due(spec, record.name, record.next, now)
    kept = _kept(spec, record.name, times, now)
    missed = len(times) - len(kept)
    note = ""
    if missed:
        missed_at = max(set(times) - set(kept))
        state = state.model_copy(update={"missed": state.missed + missed, "missed_at": missed_at})
        note = f"{missed} firing{'s were' if missed > 1 else ' was'} missed, the last of {nominal_text(missed_at)}"
    if not kept:
        return Plan(_row(record, state, next=following), note=note)
    first = kept[0]
    late = now - spec.due(first, record.name) > LATE
    if spec.catch_up == "all" and late:
        # Also what is due by now and on time: its turn comes after those, and then the run before will be one of them.
        state = state.model_copy(update={"behind": times[-1]})
    made_up = spec.catch_up == "all" and state.behind is not None and first <= state.behind
    then = kept[1] if len(kept) > 1 else following
    if spec.overlap == "allow":
        many = kept[:MOST_AT_ONCE]
        then = kept[len(many)] if len(many) < len(kept) else following
        return _started(record, state, many, then, note=note)
    if not going_on:
        return _started(record, state, [first], then, note=note)
    if made_up:  # it waits its turn: to pass over it would be no catching up
        return Plan(_row(record, state, next=first), note=note) if missed else None
    return _overlapping(record, spec, state, first, then, note)


def _overlapping(
    record: ScheduleRecord, spec: ScheduleSpec, state: ScheduleState, at: int, then: int | None, note: str
) -> Plan:
    if spec.overlap == "skip" or (spec.overlap == "buffer" and state.waits is not None):
        passed_over, waits = at, state.waits
    else:
        passed_over, waits = state.waits, at  # with `cancel` the newest replaces what waited
    state = state.model_copy(update={"waits": waits})
    if passed_over is not None:
        state = state.model_copy(update={"skipped": state.skipped + 1, "skipped_at": passed_over})
        said = f"the firing of {nominal_text(passed_over)} is skipped: `{record.last_run}` still goes on"
        note = f"{note}; {said}" if note else said
    return Plan(_row(record, state, next=then), cancel=spec.overlap == "cancel", note=note)


def _started(
    record: ScheduleRecord, state: ScheduleState, times: list[int], following: int | None, note: str = ""
) -> Plan:
    last = times[-1]
    state = state.model_copy(update={"started": state.started + len(times)})
    row = replace(_row(record, state, next=following), last=last, last_run=run_id(record.name, last))
    return Plan(row, start=times, note=note)


def _row(record: ScheduleRecord, state: ScheduleState, *, next: int | None) -> ScheduleRecord:
    return replace(record, state=state.model_dump_json(), next=next)


def _due(spec: ScheduleSpec, name: str, first: int, now: int) -> tuple[list[int], int | None]:
    """The nominal times from `first` on that are due, and the one after them."""
    times: list[int] = []
    following: int | None = first
    while following is not None and spec.due(following, name) <= now:
        times.append(following)
        if len(times) % MOST_COUNTED == 0:
            if len(times) > MOST_COUNTED:
                break  # the rest is for the next time
            # A long downtime of a fine timetable: on to where it matters.
            if spec.catch_up == "all":
                reach = now - spec.catch_up_window - spec.jitter - 1
            else:
                reach = spec.timetable.last_until(now - spec.jitter, since=following) - 1
            following = spec.timetable.next_after(max(following, reach))
            continue
        following = spec.timetable.next_after(following)
    return times, following


def _kept(spec: ScheduleSpec, name: str, times: list[int], now: int) -> list[int]:
    """Which of the due times are to be carried out."""
    age = LATE if spec.catch_up == "none" else spec.catch_up_window
    kept = [at for at in times if now - spec.due(at, name) <= age]
    return kept if spec.catch_up == "all" else kept[-1:]
