"""Schedules as an app has them: declared in code, looked at and steered in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, get_args, overload

from ..core.clock import from_micros, to_micros
from ..core.errors import ConfigError, InvalidInput, UnknownSchedule
from ..core.ids import RunRef, check_id, new_id
from ..core.labels import check_labels, check_priority
from ..core.principal import check_grants
from ..engines.scheduler import scheduled_run
from ..journal import RunStatus, ScheduleRecord
from ..runtime import Agent
from ..runtime.calendar.schedule import (
    SCHEDULE_LABEL,
    SCHEDULED_AT,
    CatchUp,
    Overlap,
    ScheduleSpec,
    ScheduleState,
)
from ..runtime.calendar.timetable import Timetable
from ..runtime.progress.records import SERIES_LABEL
from .handle import Handle

if TYPE_CHECKING:
    from .steering import Steering

__all__ = ["Schedule", "ScheduleOptions", "Schedules"]

LONGEST_NAME = 150
"""Letters: ids of runs are made of the name, and have a bound themselves."""

WINDOWS = {
    "latest": timedelta(days=3650),
    "all": timedelta(days=1),
    "none": timedelta(days=1),
}
"""The window of each catch-up policy where none is given."""


class ScheduleOptions(TypedDict, total=False):
    """What a schedule may be given besides its times."""

    name: str
    """unique in the app; the agent's name where none is given"""
    timezone: str
    """of the cron expression, as `Europe/Rome`; UTC where none is given"""
    input: Any
    """of each run"""
    overlap: Overlap
    """while the run before still goes on: `skip` the firing (the default), `buffer` one until that has ended, `cancel`
    that run and start when it has ended, or `allow` both"""
    catch_up: CatchUp
    """of the firings that nobody was there for, start the `latest` (the default), `all` or `none`"""
    catch_up_window: timedelta
    """older firings are not made up for; a day with `all`, ten years with `latest`"""
    jitter: timedelta
    """each firing is delayed by a part of this: so that not everything happens on the hour"""
    labels: dict[str, str]
    """of each run, besides `schedule` and `scheduled_at`"""
    deadline: timedelta
    """a run is cancelled when it is older"""
    priority: int
    """of each run; the agent's where none is given"""
    needs: Iterable[str]
    """labels that a worker must have to take up a run; the agent's where none are given"""
    grants: str | Iterable[str]
    """what its runs may do, which act for `schedule:NAME`: your application vouches for that; else nothing"""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it stands in the store."""

    record: ScheduleRecord
    spec: ScheduleSpec
    state: ScheduleState
    orphaned: bool
    """no worker is alive whose code declares it: it does not fire"""
    last_status: RunStatus | None
    """of the run that it started last"""

    @property
    def name(self) -> str:
        """Its name, unique in its tenant."""
        return self.record.name

    @property
    def paused(self) -> bool:
        """Whether it is held: firings pass, and are not made up for."""
        return self.record.paused

    @property
    def next(self) -> datetime | None:
        """The nominal time of its next firing (UTC); None where it does not fire any more."""
        return None if self.record.next is None else from_micros(self.record.next)

    def upcoming(self, count: int) -> list[datetime]:
        """The nominal times of the next firings (UTC)."""
        if self.record.next is None:
            return []
        later = self.spec.timetable.firings(self.record.next - 1)
        return [from_micros(at) for at in islice(later, count)]


class Schedules:
    """`app.schedules`: what the app's code declares, and what stands in the store for its tenant."""

    def __init__(self, app: Steering) -> None:
        self._app = app
        self.declared: dict[str, ScheduleSpec] = {}
        """by name"""

    # declaring -------------------------------------------------------------------------------------------------

    @overload
    def declare(self, cron: str, /, **options: Unpack[ScheduleOptions]) -> Callable[[Agent], Agent]: ...
    @overload
    def declare(
        self, /, *, every: timedelta, **options: Unpack[ScheduleOptions]
    ) -> Callable[[Agent], Agent]: ...
    @overload
    def declare(
        self,
        agent: Agent,
        /,
        *,
        cron: str | None = ...,
        every: timedelta | None = ...,
        **options: Unpack[ScheduleOptions],
    ) -> Agent: ...
    def declare(
        self,
        what: str | Agent | None = None,
        /,
        *,
        cron: str | None = None,
        every: timedelta | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> Agent | Callable[[Agent], Agent]:
        """Start runs of an agent by the clock: `@app.schedule("0 9 * * 1-5")` above `@app.agent`, or as a call.

        By a cron expression (five fields, or six with seconds first) in a time zone, or `every` so many seconds,
        aligned to the epoch. Each firing starts one run, whose id is the schedule's name and the nominal time, however
        many workers there are; `run.scheduled_at` is that time. See `ScheduleOptions` for the rest. Raises
        `ConfigError`, and `InvalidInput` where the agent cannot take the input.
        """
        if isinstance(what, Agent):
            return self._add(what, cron, every, options)
        if what is not None and not isinstance(what, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # users'
            raise ConfigError(
                f"`{what!r}` is neither a cron expression nor an agent: put `@app.schedule` above `@app.agent`"
            )
        if what is not None and cron is not None:
            raise ConfigError(f"cron `{what}` and cron `{cron}`: a schedule has one; declare two of them")

        def register(agent: Agent) -> Agent:
            if not isinstance(agent, Agent):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' order
                raise ConfigError(
                    f"`{getattr(agent, '__name__', agent)}` is no agent yet: put `@app.schedule` above `@app.agent`"
                )
            return self._add(agent, cron if what is None else what, every, options)

        return register

    def _add(
        self, agent: Agent, cron: str | None, every: timedelta | None, options: ScheduleOptions
    ) -> Agent:
        self._app.find_agent(agent)
        name = options.get("name", agent.name)
        check_id(name, what="a schedule's name")
        if len(name) > LONGEST_NAME:
            raise ConfigError(
                f"`{name[:40]}…` is too long to name a schedule: {LONGEST_NAME} letters at most"
            )
        if name in self.declared:
            raise ConfigError(f"schedule `{name}` is declared already; give one of them another `name=`")
        try:
            self.declared[name] = _spec(agent, cron, every, options)
        except (ConfigError, InvalidInput) as error:
            raise type(error)(f"schedule `{name}`: {error}") from None
        return agent

    # looking ---------------------------------------------------------------------------------------------------

    async def ls(self, *, all_tenants: bool = False) -> list[Schedule]:
        """The schedules that stand in the store, by name."""
        await self._app.open()
        rows = await self._app.store.schedules(tenant=None if all_tenants else self._app.tenant)
        live = {
            tenant: await self._app.store.declared_schedules(tenant)
            for tenant in {row.tenant for row in rows}
        }
        return [await self._shown(row, orphaned=row.name not in live[row.tenant]) for row in rows]

    async def get(self, name: str) -> Schedule:
        """One of them. Raises `UnknownSchedule`."""
        row = await self._row(name)
        live = await self._app.store.declared_schedules(row.tenant)
        return await self._shown(row, orphaned=name not in live)

    async def _shown(self, row: ScheduleRecord, *, orphaned: bool) -> Schedule:
        run = None if row.last_run is None else await self._app.store.get(RunRef(row.tenant, row.last_run))
        return Schedule(
            row,
            ScheduleSpec.model_validate_json(row.spec),
            ScheduleState.model_validate_json(row.state),
            orphaned,
            None if run is None else run.status,
        )

    async def _row(self, name: str) -> ScheduleRecord:
        await self._app.open()
        rows = await self._app.store.schedules(tenant=self._app.tenant)
        found = next((row for row in rows if row.name == name), None)
        if found is None:
            known = (
                ", ".join(f"`{row.name}`" for row in rows)
                or "none; a worker whose code declares one makes it"
            )
            raise UnknownSchedule(f"no schedule `{name[:80]}` (known: {known})")
        return found

    # steering --------------------------------------------------------------------------------------------------

    async def pause(self, name: str) -> bool:
        """Hold it: firings pass until `resume`, and are not made up for. False where it was held already."""
        while True:
            row = await self._row(name)
            if row.paused:
                return False
            if await self._app.store.write_schedule(replace(row, paused=True)):
                return True

    async def resume(self, name: str) -> bool:
        """Let it fire again, from now on. False where it was not held."""
        while True:
            row = await self._row(name)
            if not row.paused:
                return False
            following = ScheduleSpec.model_validate_json(row.spec).timetable.next_after(self._app.store.now())
            if await self._app.store.write_schedule(replace(row, paused=False, next=following)):
                return True

    async def trigger(self, name: str) -> Handle:
        """Start a run of it now, whatever its times and its overlap policy; its next firing stays as it is."""
        row = await self._row(name)
        store = self._app.store
        new = scheduled_run(
            row,
            ScheduleSpec.model_validate_json(row.spec),
            store.now(),
            key=await store.tenant_key(row.tenant),
            at=store.now(),
            id=f"{name}-now-{new_id()[:8]}",
        )
        await store.create(new)
        return Handle(self._app, new.ref, self._app.agents.get((new.agent, new.version)), fresh=True)

    async def remove(self, name: str) -> None:
        """Delete one that no code declares any more. Raises `ConfigError` where a worker would make it anew."""
        row = await self._row(name)
        if name in await self._app.store.declared_schedules(row.tenant):
            raise ConfigError(
                f"schedule `{name}` is declared by the code of a live worker, which would make it anew: take it out "
                f"of the code, or `perdure schedules pause {name}`"
            )
        await self._app.store.remove_schedule(row.tenant, name)


def _spec(agent: Agent, cron: str | None, every: timedelta | None, options: ScheduleOptions) -> ScheduleSpec:
    unknown = set(options) - set(ScheduleOptions.__annotations__)
    if unknown:
        known = ", ".join(sorted(ScheduleOptions.__annotations__))
        raise ConfigError(f"`{min(unknown)}` is no option of a schedule: {known}")
    timezone = options.get("timezone", "UTC")
    if every is not None and "timezone" in options:
        raise ConfigError(
            f"timezone `{timezone}` means nothing for an interval: leave it out, or give a cron expression"
        )
    timetable = Timetable(cron, timezone, None if every is None else to_micros(every))
    overlap = options.get("overlap", "skip")
    catch_up = options.get("catch_up", "latest")
    for what, value, known in (("overlap", overlap, Overlap), ("catch_up", catch_up, CatchUp)):
        if value not in get_args(known):
            raise ConfigError(f"{what} `{value}` is not one of {', '.join(get_args(known))}")
    spans = {
        what: options.get(what, default)
        for what, default in (
            ("catch_up_window", WINDOWS[catch_up]),
            ("jitter", timedelta()),
            ("deadline", None),
        )
    }
    for what, span in spans.items():
        if span is not None and (span < timedelta() or (not span and what != "jitter")):
            raise ConfigError(f"{what} `{span}` must be longer than nothing")
    jitter = spans["jitter"]
    if every is not None and jitter and jitter >= every:
        raise ConfigError(f"jitter `{jitter}` must be shorter than the interval `{every}`")
    labels = options.get("labels", {})
    for label, value in labels.items():
        if label in (SCHEDULE_LABEL, SCHEDULED_AT):
            raise ConfigError(f"label `{label}` is set by the schedule itself; choose another name")
        if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
            raise ConfigError(f"label `{label}` has the value `{value}`; labels are text")
    given = options.get("input")
    try:
        payload = agent.dump_input(given)
    except InvalidInput as error:
        raise InvalidInput(f"input `{str(given)[:80]}`: {error}; give what it takes by `input=`") from None
    grants = check_grants(options.get("grants", ()), what="`grants`")
    if lacks := agent.requires - grants:
        raise ConfigError(
            f"agent `{agent.name}` requires {', '.join(f'`{g}`' for g in sorted(lacks))} of whom it runs for, and the "
            "schedule has that not: give it `grants=`"
        )
    window, deadline = spans["catch_up_window"], spans["deadline"]
    assert window is not None
    return ScheduleSpec(
        agent=agent.name,
        version=agent.version,
        cron=None if cron is None else cron.strip(),
        timezone=timetable.timezone,
        every=timetable.every,
        jitter=to_micros(jitter or timedelta()),
        input=payload.decode(),
        overlap=overlap,
        catch_up=catch_up,
        catch_up_window=to_micros(window),
        labels=dict(labels) if agent.series is None else {SERIES_LABEL: agent.series, **labels},
        deadline=None if deadline is None else to_micros(deadline),
        priority=check_priority(options.get("priority", agent.priority)),
        needs=check_labels(options.get("needs", agent.needs), what="a need"),
        grants=tuple(sorted(grants)),
    )
