"""Declaring and steering schedules: what is refused, pausing, triggering, removing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from perdure import App, ConfigError, InvalidInput, Run, UnknownAgent, UnknownSchedule
from perdure.db.memory import MemoryStore
from perdure.engines.scheduler import scheduled_run
from perdure.journal import ScheduleRecord
from perdure.testing import ManualClock


class Report(BaseModel):
    country: str


def new_app() -> App:
    return App("memory://")


def declare(app: App, *args: Any, **options: Any) -> Any:
    @app.schedule(*args, **options)
    @app.agent("report")
    async def report(run: Run, input: Report) -> None:
        pass

    return report


HERE: dict[str, Any] = {"input": Report(country="it")}


@pytest.mark.parametrize(
    ("args", "options", "said"),
    [
        (
            ("0 25 * * *",),
            HERE,
            "schedule `report`: `0 25 * * *` is not a cron expression (bad hour): write `MINUTE",
        ),
        (("0 9 * * *",), {**HERE, "timezone": "Rome"}, "`Rome` is not a time zone: write a name such as"),
        (
            ("0 9 * * *",),
            {**HERE, "every": timedelta(hours=1)},
            "cron `0 9 * * *` and every `3600 s`: give one",
        ),
        ((), HERE, "it has no times: give a cron expression or `every=`"),
        (
            (),
            {**HERE, "every": timedelta(hours=1), "timezone": "UTC"},
            "timezone `UTC` means nothing for an interval",
        ),
        (
            ("0 9 * * *",),
            {**HERE, "overlap": "wait"},
            "overlap `wait` is not one of skip, buffer, cancel, allow",
        ),
        (("0 9 * * *",), {**HERE, "catch_up": "some"}, "catch_up `some` is not one of latest, all, none"),
        (
            ("0 9 * * *",),
            {**HERE, "catch_up_window": timedelta()},
            "catch_up_window `0:00:00` must be longer",
        ),
        (("0 9 * * *",), {**HERE, "jitter": timedelta(minutes=-1)}, "must be longer than nothing"),
        (
            (),
            {**HERE, "every": timedelta(minutes=1), "jitter": timedelta(minutes=1)},
            "must be shorter than the",
        ),
        (
            ("0 9 * * *",),
            {**HERE, "labels": {"schedule": "x"}},
            "label `schedule` is set by the schedule itself",
        ),
        (("0 9 * * *",), {**HERE, "labels": {"n": 1}}, "label `n` has the value `1`; labels are text"),
        (("0 9 * * *",), {**HERE, "tz": "UTC"}, "`tz` is no option of a schedule: catch_up, catch_up_window"),
        (("0 9 * * *",), {**HERE, "name": "a b"}, "`a b` cannot be a schedule's name"),
        (("0 9 * * *",), {**HERE, "name": "a" * 151}, "is too long to name a schedule"),
    ],
)
def test_what_cannot_be_declared_is_refused_at_once(args: Any, options: Any, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        declare(new_app(), *args, **options)
    assert said in str(refused.value)


@pytest.mark.parametrize("given", [None, {"city": "Rome"}, "it"])
def test_input_that_does_not_fit_the_agent_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        declare(new_app(), "0 9 * * *", input=given)
    assert f"schedule `report`: input `{given}`: agent `report` cannot take this input" in str(refused.value)


def test_the_order_of_the_decorators() -> None:
    app = new_app()
    wrong: Callable[..., Any] = app.agent("late")
    with pytest.raises(ConfigError, match=r"`late` is no agent yet: put `@app.schedule` above `@app.agent`"):

        @wrong
        @app.schedule("0 9 * * *")  # type: ignore[arg-type]
        async def late(run: Run) -> None:
            pass


def test_each_name_once_and_only_agents_of_this_app() -> None:
    app = new_app()
    report = declare(app, "0 9 * * *", **HERE)
    with pytest.raises(
        ConfigError, match="schedule `report` is declared already; give one of them another `name=`"
    ):
        app.schedule(report, cron="0 10 * * *", **HERE)
    app.schedule(report, cron="0 10 * * *", name="later", **HERE)
    assert sorted(app.schedules.declared) == ["later", "report"]
    with pytest.raises(UnknownAgent):
        new_app().schedule(report, cron="0 9 * * *", **HERE)


def test_priority_and_needs_are_the_agents_or_its_own() -> None:
    app = new_app()

    @app.schedule("0 10 * * *", name="own", priority=1, needs=["disk"])
    @app.schedule("0 9 * * *")
    @app.agent("trains", priority=7, needs=["gpu"])
    async def trains(run: Run) -> None:
        pass

    specs = app.schedules.declared
    assert [(specs[name].priority, specs[name].needs) for name in ("trains", "own")] == [
        (7, ("gpu",)),
        (1, ("disk",)),
    ]
    row = ScheduleRecord(tenant="t", name="own", agent="trains", spec="")
    new = scheduled_run(row, specs["own"], 0, key=b"", at=0)
    assert (new.priority, new.needs) == (1, ("disk",))


# steering --------------------------------------------------------------------------------------------------------


async def until(condition: Callable[[], Any], what: str) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110  # what it waits for sets no event
            await asyncio.sleep(0.005)


async def working(clock: ManualClock, store: MemoryStore, *, tenant: str = "default") -> App:
    app = App(store, clock=clock, tenant=tenant)

    @app.schedule(every=timedelta(hours=1), labels={"team": "a"})
    @app.agent("hourly")
    async def hourly(run: Run) -> str | None:
        return None if run.scheduled_at is None else run.scheduled_at.isoformat()

    await app.__aenter__()

    async def there() -> bool:
        return bool(await app.schedules.ls())

    await until(there, "the schedule")
    return app


async def test_pause_and_resume() -> None:
    clock = ManualClock()
    app = await working(clock, MemoryStore(clock))
    assert await app.schedules.pause("hourly")
    assert not await app.schedules.pause("hourly")

    clock.advance(5 * 3600)
    again = await working(clock, app.store)  # type: ignore[arg-type]  # a worker that has looked at the paused row
    found = await app.schedules.get("hourly")
    assert found.paused and found.state.started == found.state.missed == 0

    assert await app.schedules.resume("hourly")
    assert not await app.schedules.resume("hourly")
    found = await app.schedules.get("hourly")
    assert found.next == datetime(2026, 1, 1, 6, tzinfo=UTC), "what passed meanwhile is not made up for"
    assert found.upcoming(2) == [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (6, 7)]
    clock.advance(3600)

    async def fired() -> bool:
        return (await app.schedules.get("hourly")).record.last_run == "hourly-20260101T0600Z"

    await until(fired, "the next firing")
    await again.close()
    await app.close()


async def test_trigger_starts_a_run_outside_of_the_schedule() -> None:
    clock = ManualClock()
    app = await working(clock, MemoryStore(clock))
    before = await app.schedules.get("hourly")

    run = await app.schedules.trigger("hourly")

    assert run.id.startswith("hourly-now-")
    assert await run.result() == "2026-01-01T00:00:00+00:00"
    record = await run.record()
    assert record.labels == {"team": "a", "schedule": "hourly", "scheduled_at": "2026-01-01T00:00:00Z"}
    assert await app.schedules.get("hourly") == before
    await app.close()


async def test_a_schedule_that_live_code_declares_is_not_removed() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    app = await working(clock, store)
    with pytest.raises(ConfigError, match="schedule `hourly` is declared by the code of a live worker"):
        await app.schedules.remove("hourly")
    await app.close()
    await app.open()
    await app.schedules.remove("hourly")
    for call in (app.schedules.get, app.schedules.pause, app.schedules.trigger, app.schedules.remove):
        with pytest.raises(UnknownSchedule, match=r"no schedule `hourly` \(known: none"):
            await call("hourly")


async def test_tenants_do_not_see_each_others_schedules() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    app = await working(clock, store)
    other = App(store, clock=clock, tenant="other")
    assert await other.schedules.ls() == []
    with pytest.raises(UnknownSchedule):
        await other.schedules.trigger("hourly")
    assert [s.record.tenant for s in await other.schedules.ls(all_tenants=True)] == ["default"]
    await app.close()
