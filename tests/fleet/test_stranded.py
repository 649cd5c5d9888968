"""Runs that no worker can run: when they are told of, how often, and that nothing is written twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

import pytest

from perdure import App, Run
from perdure.db.memory import MemoryStore
from perdure.engines.stranded import BATCH, Stranded
from perdure.journal import Demand, RunQuery, Session
from perdure.testing import ManualClock
from perdure.testing.conformance._scene import begin

PATIENCE = 10.0


class Counting(MemoryStore):
    """Counts what is written."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.asked = 0
        self.marked = 0

    async def strand(self, demand: Demand, reasons: Sequence[str], *, limit: int) -> int:
        self.asked += 1
        marked = await super().strand(demand, reasons, limit=limit)
        self.marked += marked
        return marked


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(clock: ManualClock) -> AsyncIterator[Counting]:
    made = Counting(clock)
    await made.open()
    yield made
    await made.close()


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]


async def watch(stranded: Stranded, clock: ManualClock, seconds: float) -> None:
    """A worker's housekeeping for so long, once a second."""
    for _ in range(round(seconds)):
        clock.advance(1)
        await stranded.look()


async def test_a_moment_without_a_worker_is_no_alarm(
    store: Counting, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await store.create(begin())
    stranded = Stranded(store, clock, patience=PATIENCE)

    await watch(stranded, clock, PATIENCE - 2)
    await store.register(Session(id="new", lease=10**12, agents=(("greeter", "1"),)))
    await watch(stranded, clock, 3 * PATIENCE)

    assert (alarms(caplog), store.asked) == ([], 0)


async def test_an_alarm_is_told_once_and_marks_are_written_once(
    store: Counting, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    runs = 2 * BATCH + 7
    for n in range(runs):
        await store.create(begin(f"r{n}"))
    await store.create(begin("gpu", needs=("gpu",)))
    await store.create(begin("served", agent="other"))
    await store.register(Session(id="there", lease=10**12, agents=(("other", "1"),)))
    stranded = Stranded(store, clock, patience=PATIENCE)

    await watch(stranded, clock, 600)

    assert len(alarms(caplog)) == 2
    assert "agent `greeter` in version `1`; deploy one" in alarms(caplog)[0]
    assert store.marked == runs + 1
    # Where all are marked it looks ever more seldom: 2 batches and a rest, then after 10, 20, 40, 60, 60... seconds
    assert store.asked < 40
    (served,) = await store.find(RunQuery(agent="other"))
    assert served.reasons == ()


async def test_a_later_lack_is_told_again(
    store: Counting, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await store.create(begin(needs=("gpu",)))
    stranded = Stranded(store, clock, patience=PATIENCE)
    await watch(stranded, clock, 3 * PATIENCE)
    assert [("has agent" in told) for told in alarms(caplog)] == [True]

    await store.register(Session(id="plain", lease=10**12, agents=(("greeter", "1"),)))
    await watch(stranded, clock, 3 * PATIENCE)
    assert "`perdure worker --label gpu`" in alarms(caplog)[1]
    (record,) = await store.find(RunQuery())
    assert record.reasons[0] == "no_worker_for_needs"

    able = Session(id="able", lease=10**12, agents=(("greeter", "1"),), labels=frozenset({"gpu"}))
    await store.register(able)
    await watch(stranded, clock, 3 * PATIENCE)
    assert len(alarms(caplog)) == 2
    await store.deregister("able")
    await watch(stranded, clock, 3 * PATIENCE)
    assert len(alarms(caplog)) == 3


async def test_children_have_what_their_own_agent_declares() -> None:
    app = App("memory://", labels=["gpu"])

    @app.agent("child", priority=3, needs=["gpu"])
    async def child(run: Run) -> str:
        return "done"

    @app.agent("parent")
    async def parent(run: Run) -> str:
        return await run.child(child)

    async with app:
        handle = await app.start(parent, priority=9)
        assert await handle.result() == "done"
        (made,) = await app.store.find(RunQuery(agent="child"))
        (begun,) = await app.store.find(RunQuery(agent="parent"))

    assert (made.priority, made.needs) == (3, ("gpu",))
    assert (begun.priority, begun.needs) == (9, ())


async def test_an_agent_never_runs_more_than_its_limit() -> None:
    app = App("memory://")
    inside, most = 0, 0
    pair = asyncio.Barrier(2)

    async def count() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await pair.wait()

    @app.agent("careful", limit=2)
    async def careful(run: Run) -> None:
        nonlocal inside
        await run.step("count", count)
        inside -= 1

    async with app:
        handles = [await app.start(careful) for _ in range(8)]
        for handle in handles:
            await handle.result()

    assert most == 2
