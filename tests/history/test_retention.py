"""What is kept how long: by agent and ending, and nothing is taken where nobody said so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from perdure import App, ConfigError, Run, RunFailed, RunPruned
from perdure.core.settings import Kept, Retention
from perdure.db.memory import MemoryStore
from perdure.engines.retention import Retention as Pruner
from perdure.journal import RunStatus
from perdure.testing import ManualClock

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def app(clock: ManualClock) -> AsyncIterator[App]:
    app = App(MemoryStore(clock), clock=clock)

    @app.agent("short", retention={"succeeded": DAY})
    async def short(run: Run, fail: bool) -> str:
        if fail:
            raise ValueError("no")
        return "done"

    @app.agent("plain")
    async def plain(run: Run) -> str:
        return "done"

    async with app:
        yield app


async def pruned(app: App) -> set[str]:
    pruner = Pruner(app.store, app.retention_rules)
    while await pruner.tick():
        pass
    from perdure.journal import RunQuery

    return {r.ref.id for r in await app.store.find(RunQuery(pruned=True))}


async def ended(app: App, clock: ManualClock) -> None:
    for name, agent, value in (("good", "short", False), ("bad", "short", True), ("other", "plain", None)):
        run = await app.start(agent, value, run_id=name)
        try:
            await run.result()
        except RunFailed:
            pass
    clock.advance(2 * 86_400)


async def test_only_what_has_a_rule_is_pruned(app: App, clock: ManualClock) -> None:
    await ended(app, clock)
    assert await pruned(app) == {"good"}
    assert await pruned(app) == {"good"}


async def test_settings_stand_behind_what_the_agent_says(app: App, clock: ManualClock) -> None:
    app.retention = Retention(succeeded=3 * DAY, failed=DAY, agents={"plain": Kept(succeeded=DAY / 2)})
    await ended(app, clock)
    assert app.retention_rules() == {
        "short": {RunStatus.SUCCEEDED: DAY, RunStatus.FAILED: DAY},
        "plain": {RunStatus.SUCCEEDED: DAY / 2, RunStatus.FAILED: DAY},
    }
    assert await pruned(app) == {"good", "bad", "other"}


async def test_of_several_versions_the_longest_counts(app: App, clock: ManualClock) -> None:
    @app.agent("short", version="2", retention={"succeeded": 3 * DAY})
    async def newer(run: Run, fail: bool) -> None: ...

    await ended(app, clock)
    assert await pruned(app) == set()


async def test_more_than_a_batch_is_pruned_at_once(app: App, clock: ManualClock) -> None:
    for n in range(45):
        await (await app.start("short", False, run_id=f"r{n}")).result()
    clock.advance(2 * 86_400)
    assert len(await pruned(app)) == 45


async def test_the_result_of_a_pruned_run_is_refused_with_the_reason(app: App) -> None:
    run = await app.start("short", False, run_id="r")
    assert await run.result() == "done"
    assert await app.prune("r") == 3
    with pytest.raises(RunPruned, match="ended `succeeded`, and its result is gone"):
        await (await app.handle("r")).result()
    for wrong in (app.retry("r", force=True), app.fork("r", from_step="x")):
        with pytest.raises(RunPruned):
            await wrong


async def test_earlier_generations_of_a_living_run_can_go(app: App) -> None:
    @app.agent("endless")
    async def endless(run: Run, n: int) -> int:
        if n < 2:
            await run.continue_as_new(n + 1)
        return await run.receive("go", int)

    run = await app.start(endless, 0, run_id="r")
    from perdure.testing import until_waiting

    await until_waiting(app, run, "signal")
    record = await run.record()
    assert await app.prune("r") == record.base - 1
    await app.signal("r", "go", 5)
    assert await run.result() == 5
    assert (await app.start(endless, 0, run_id="r")).id == "r"


@pytest.mark.parametrize("wrong", [{"succeded": DAY}, {"failed": timedelta()}, {"failed": 30}])
def test_a_rule_that_says_nothing_is_refused(wrong: dict[str, timedelta]) -> None:
    with pytest.raises(ConfigError, match="retention"):

        @App("memory://").agent("a", retention=wrong)
        async def a(run: Run) -> None: ...


async def test_results_in_the_cache_go_when_their_time_is_over(app: App, clock: ManualClock) -> None:
    asked: list[str] = []

    @app.tool(effect="read", cache=timedelta(minutes=1))
    def price(of: str) -> str:
        asked.append(of)
        return "7"

    @app.agent("shop")
    async def shop(run: Run, of: str) -> str:
        return await run.call(price, of)

    for of in ("tea", "ham"):
        await (await app.start(shop, of)).result()
        clock.advance(50)
    assert len(await app.store.cells("cache")) == 2
    await pruned(app)
    assert len(await app.store.cells("cache")) == 1  # tea is 100 s old
    assert await (await app.start(shop, "ham")).result() == "7"
    assert asked == ["tea", "ham"]
