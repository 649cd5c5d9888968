"""Schedules in workers: firings become runs, each once, whichever worker sees them come due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from perdure import App, Run, Schedule, open_store
from perdure.db.memory import MemoryStore
from perdure.journal import RunQuery, RunRecord
from perdure.testing import Killed, ManualClock, SkippingClock
from tests.places import SqlitePlace

HOUR = 3600.0


async def until(condition: Callable[[], Awaitable[Any]], what: str) -> Any:
    async with asyncio.timeout(60):
        while not (value := await condition()):  # noqa: ASYNC110  # what it waits for sets no event
            await asyncio.sleep(0.005)
    return value


async def runs_of(app: App, name: str) -> list[RunRecord]:
    """The runs of a schedule, oldest first."""
    found = await app.store.find(RunQuery(labels={"schedule": name}, limit=10_000))
    return sorted(found, key=lambda run: run.labels["scheduled_at"])


def hours(runs: list[RunRecord]) -> list[str]:
    return [run.labels["scheduled_at"][11:13] for run in runs]


async def test_a_year_of_firings_in_a_moment() -> None:
    app = App("memory://", clock=SkippingClock(datetime_micros(2026, 1, 1)))
    begun: list[tuple[str, datetime | None]] = []
    over = asyncio.Event()

    @app.schedule("30 2 * * *", timezone="Europe/Rome", labels={"team": "night"})
    @app.agent("nightly")
    async def nightly(run: Run) -> None:
        assert run.scheduled_at is not None and run.now() == run.scheduled_at
        begun.append((run.id, run.scheduled_at))
        if len(begun) == 365:
            over.set()

    async with app:
        async with asyncio.timeout(60):
            await over.wait()

    days = [at.date() for _, at in begun if at is not None]
    assert len(set(days)) == 365, "each day once, also those on which the clocks change"
    assert ("nightly-20260329T0100Z", datetime(2026, 3, 29, 1, tzinfo=UTC)) in begun
    assert ("nightly-20261025T0030Z", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)) in begun
    await app.open()
    assert all(run.labels["team"] == "night" for run in await runs_of(app, "nightly"))


def datetime_micros(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1_000_000


async def test_several_schedules_of_one_agent_each_with_its_input() -> None:
    app = App("memory://", clock=SkippingClock())
    got: dict[str, int] = {}
    over = asyncio.Event()

    @app.schedule("0 6 * * *", name="early", input="de", deadline=timedelta(hours=1))
    @app.schedule(every=timedelta(hours=8), name="thrice", input="it")
    @app.agent("digest")
    async def digest(run: Run, country: str) -> None:
        got[country] = got.get(country, 0) + 1
        if got.get("de", 0) == 3:
            over.set()

    app.schedule(digest, cron="0 0 1 1 *", name="yearly", input="fr")
    async with app:
        async with asyncio.timeout(60):
            await over.wait()
    await app.open()

    assert got["it"] in (6, 7) and "fr" not in got
    first = (await runs_of(app, "early"))[0]
    assert first.deadline == first.created_at + 3600 * 1_000_000


# overlap, in the engine ------------------------------------------------------------------------------------------


def waiting_app(clock: ManualClock, store: Any = None, **options: Any) -> App:
    """An hourly agent that goes on until it is told."""
    app = App(store or MemoryStore(clock), clock=clock, lease=timedelta(days=400))

    @app.schedule(every=timedelta(hours=1), **options)
    @app.agent("hourly")
    async def hourly(run: Run) -> None:
        await run.receive("done")

    return app


async def fired(app: App, count: int) -> list[RunRecord]:
    async def enough() -> list[RunRecord]:
        runs = await runs_of(app, "hourly")
        return runs if len(runs) >= count else []

    return await until(enough, f"{count} runs")


async def counted(app: App, what: str, count: int) -> Schedule:
    async def enough() -> Schedule | None:
        found = await app.schedules.get("hourly")
        return found if getattr(found.state, what) == count else None

    return await until(enough, f"{count} {what}")


async def begun(app: App, name: str = "hourly") -> None:
    async def there() -> bool:
        return any(s.name == name for s in await app.schedules.ls())

    await until(there, f"schedule {name}")


async def test_skip_shows_what_was_skipped() -> None:
    clock = ManualClock()
    app = waiting_app(clock)
    async with app:
        await begun(app)
        clock.advance(HOUR)
        await fired(app, 1)
        for skipped in (1, 2):
            clock.advance(HOUR)
            await counted(app, "skipped", skipped)
        assert hours(await runs_of(app, "hourly")) == ["01"]


async def test_buffer_starts_as_soon_as_the_run_before_has_ended() -> None:
    clock = ManualClock()
    app = waiting_app(clock, overlap="buffer")
    async with app:
        await begun(app)
        clock.advance(HOUR)
        first = (await fired(app, 1))[0]
        clock.advance(HOUR)
        assert (await app.schedules.get("hourly")).state.started == 1
        await app.signal(first.ref.id, "done")
        assert hours(await fired(app, 2)) == ["01", "02"]


async def test_cancel_ends_the_run_before() -> None:
    clock = ManualClock()
    app = waiting_app(clock, overlap="cancel")
    async with app:
        await begun(app)
        clock.advance(HOUR)
        await fired(app, 1)
        clock.advance(HOUR)
        first, second = await fired(app, 2)
        assert first.status == "cancelled"
        assert "schedule hourly" in first.reasons[0]
        assert hours([second]) == ["02"]


async def test_after_downtime_the_latest_is_made_up_for() -> None:
    clock = ManualClock()
    app = waiting_app(clock)
    async with app:
        await begun(app)
    clock.advance(5.5 * HOUR)
    async with app:
        assert hours(await fired(app, 1)) == ["05"]
        found = await app.schedules.get("hourly")
        assert (found.state.started, found.state.missed) == (1, 4)


async def test_after_downtime_all_are_made_up_for_one_after_the_other() -> None:
    clock = ManualClock()
    app = waiting_app(clock, catch_up="all")
    async with app:
        await begun(app)
    clock.advance(3.5 * HOUR)
    async with app:
        for count in (1, 2, 3):
            runs = await fired(app, count)
            assert hours(runs) == ["01", "02", "03"][:count]
            await app.signal(runs[-1].ref.id, "done")


# several workers -------------------------------------------------------------------------------------------------


@pytest.fixture
async def pair(store_url: str) -> AsyncIterator[tuple[App, App, ManualClock]]:
    """Two workers on one store, by connections of their own."""
    clock = ManualClock()
    one, two = (waiting_app(clock, open_store(store_url, clock=clock), overlap="allow") for _ in range(2))
    async with one, two:
        await begun(one)
        yield one, two, clock


async def test_two_workers_fire_once(pair: tuple[App, App, ManualClock]) -> None:
    one, two, clock = pair
    for hour in range(1, 13):
        clock.advance(HOUR)
        await fired(one if hour % 2 else two, hour)
        assert (await counted(one, "started", hour)).record.last_run == f"hourly-20260101T{hour:02}00Z"

    assert len(await runs_of(one, "hourly")) == 12
    assert (await one.schedules.get("hourly")).record.revision == 13, "each firing was written once"


class Dying:
    """A store whose worker dies where a schedule is written: before it, or after it."""

    def __init__(self, inner: Any, when: str) -> None:
        self.inner = inner
        self.when = when
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        if self.dead and name not in ("url", "now", "changes", "close"):
            raise Killed("dead")
        return getattr(self.inner, name)

    async def write_schedule(self, record: Any, *, runs: Any = (), posts: Any = ()) -> bool:
        if runs and self.when == "before":
            self.dead = True
            raise Killed("dead")
        written = await self.inner.write_schedule(record, runs=runs, posts=posts)
        if runs:
            self.dead = True
            raise Killed("dead")
        return written


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_worker_that_dies_while_it_fires(when: str, store_url: str) -> None:
    """Nothing is lost and nothing doubled: row and run are written together or not at all."""
    clock = ManualClock()
    inner = open_store(store_url, clock=clock)
    await inner.open()
    dying = Dying(inner, when)
    victim = waiting_app(clock, dying).new_worker()
    ready = asyncio.Event()
    work = asyncio.create_task(victim.run(ready))
    await ready.wait()
    clock.advance(HOUR)
    with pytest.raises(Killed):
        await work
    assert dying.dead
    await inner.close()

    app = waiting_app(clock, open_store(store_url, clock=clock))
    async with app:
        assert hours(await fired(app, 1)) == ["01"]
        clock.advance(HOUR)
        found = await counted(app, "skipped", 1)
    assert (found.state.started, found.state.missed) == (1, 0)


# the code changes ------------------------------------------------------------------------------------------------


def code(store: str, clock: ManualClock, cron: str, version: str = "1") -> App:
    app = App(open_store(store, clock=clock), clock=clock, lease=timedelta(days=400))

    @app.schedule(cron, name="hourly")
    @app.agent("hourly", version=version)
    async def hourly(run: Run) -> None:
        pass

    return app


async def cron_of(app: App) -> str | None:
    return (await app.schedules.get("hourly")).spec.cron


async def test_changed_code_changes_the_schedule(store_url: str) -> None:
    clock = ManualClock()
    async with code(store_url, clock, "0 9 * * *") as app:
        await begun(app)
    async with code(store_url, clock, "0 10 * * *", "2") as app:
        await until(lambda: is_cron(app, "0 10 * * *"), "the new times")
        assert (await app.schedules.get("hourly")).next == datetime(2026, 1, 1, 10, tzinfo=UTC)
        clock.advance(10 * HOUR)
        (run,) = await fired(app, 1)
    assert run.version == "2"


async def is_cron(app: App, cron: str) -> bool:
    return await cron_of(app) == cron


async def test_two_versions_side_by_side_do_not_flap(store_url: str) -> None:
    """The newest stands as long as one of its workers lives, also when workers of the old code start again."""
    clock = ManualClock()
    old, new = "0 9 * * *", "0 10 * * *"
    async with code(store_url, clock, old) as first:
        await begun(first)
        async with code(store_url, clock, new) as second:
            await until(lambda: is_cron(second, new), "the new times")
            revision = (await first.schedules.get("hourly")).record.revision
            async with code(store_url, clock, old) as again:
                # a schedule of its own, so that it has looked
                assert await cron_of(again) == new
                clock.advance(10 * HOUR)
                await fired(again, 1)
            assert (await first.schedules.get("hourly")).record.revision == revision + 1
        # The deploy is rolled back: no worker with the new code lives any more.
        await until(lambda: is_cron(first, old), "the old times again")
        found = await first.schedules.get("hourly")
        assert found.next == datetime(2026, 1, 2, 9, tzinfo=UTC)


async def test_a_change_of_input_keeps_what_is_due(tmp_path: Path) -> None:
    store = SqlitePlace().url(tmp_path)
    clock = ManualClock()

    def app_with(input: str) -> App:
        app = App(open_store(store, clock=clock), clock=clock)

        @app.schedule(every=timedelta(hours=1), input=input)
        @app.agent("hourly")
        async def hourly(run: Run, word: str) -> str:
            return word

        return app

    async with app_with("old") as app:
        await begun(app)
    clock.advance(1.5 * HOUR)  # it comes due while nobody is there
    async with app_with("new") as app:
        (run,) = await fired(app, 1)
        handle = await app.handle(run.ref.id)
        assert await handle.result() == "new"
        assert hours([run]) == ["01"]


async def test_removed_from_the_code_it_stops_and_is_kept(store_url: str) -> None:
    clock = ManualClock()
    async with code(store_url, clock, "0 * * * *") as app:
        await begun(app)
        assert not (await app.schedules.get("hourly")).orphaned

    other = App(open_store(store_url, clock=clock), clock=clock)

    @other.schedule("0 * * * *", name="other")
    @other.agent("other")
    async def other_agent(run: Run) -> None:
        pass

    async with other:
        await begun(other, "other")
        clock.advance(HOUR)
        await until(lambda: runs_of(other, "other"), "a firing of the other")
        found = await other.schedules.get("hourly")
        assert found.orphaned and found.state.started == 0
        await other.schedules.remove("hourly")
        assert [s.name for s in await other.schedules.ls()] == ["other"]
