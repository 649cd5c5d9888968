"""Runs that start runs: success, failure, cancellation, and a crash in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from perdure import App, Handle, Run, RunCancelled, RunFailed
from perdure.journal import RunQuery
from perdure.testing import survives, until_waiting
from tests.faults.processes import kinds, until


@pytest.fixture
async def app(store_url: str) -> AsyncIterator[App]:
    async with App(store_url) as made:
        yield made


async def child_of(app: App, run: Handle) -> Handle:
    """The child, once it is there."""

    async def there() -> Any:
        return await app.store.find(RunQuery(tenant="default", parent=run.id))

    found = await until(there, "the child is there")
    return await app.handle(found[0].ref.id)


async def test_a_child_gives_its_result_its_failure_and_its_labels(app: App) -> None:
    @app.agent("child")
    async def child(run: Run, word: str) -> str:
        if word == "bad":
            raise ValueError("no good")
        return f"{word} {run.labels['team']}"

    @app.agent("parent")
    async def parent(run: Run) -> list[str]:
        good = await run.child(child, "good")
        try:
            await run.child("child", "bad")
        except RunFailed as error:
            return [good, error.status, str(error).partition("ended ")[2]]
        return [good]

    run = await app.start(parent, labels={"team": "sales"})
    assert await run.result() == ["good sales", "failed", "`failed`: ValueError: no good"]
    assert "suspended" in kinds(await run.entries())  # while it waited it held no worker


async def test_children_side_by_side_have_ids_of_their_own(app: App) -> None:
    @app.agent("child")
    async def child(run: Run, n: int) -> int:
        await run.sleep(0.01)
        return n * n

    @app.agent("parent")
    async def parent(run: Run) -> list[int]:
        return await run.gather(*(run.child(child, n) for n in range(10)))

    run = await app.start(parent)
    assert await run.result() == [n * n for n in range(10)]
    found = await app.store.find(RunQuery(tenant="default", parent=run.id))
    assert len({record.ref for record in found}) == 10


async def test_cancelling_the_parent_cancels_the_child(app: App) -> None:
    @app.agent("child")
    async def child(run: Run) -> str:
        return await run.receive("word", str)

    @app.agent("parent")
    async def parent(run: Run) -> str:
        return await run.child(child)

    run = await app.start(parent, run_id="p1")
    below = await child_of(app, run)
    await until_waiting(app, run, "child")
    await until_waiting(app, below, "signal")

    await run.cancel(reason="enough")

    for each in (run, below):
        with pytest.raises(RunFailed) as caught:
            await each.result()
        assert caught.value.status == "cancelled"
    assert "the parent was cancelled: cancelled by operator: enough" in str(caught.value)


async def test_a_terminated_child_is_told_to_its_parent(app: App) -> None:
    @app.agent("child")
    async def child(run: Run) -> str:
        return await run.receive("word", str)

    @app.agent("parent")
    async def parent(run: Run) -> str:
        try:
            return await run.child(child)
        except RunFailed as error:
            return error.status

    run = await app.start(parent)
    below = await child_of(app, run)
    await below.cancel(terminate=True)
    assert await run.result() == "cancelled"


@pytest.mark.soak
async def test_a_family_survives_a_kill_at_every_boundary() -> None:
    app = App("memory://")

    @app.tool(effect="write")
    async def book(what: str) -> str:
        return f"booked {what}"

    @app.agent("child")
    async def child(run: Run, what: str) -> str:
        await run.sleep(timedelta(minutes=5))
        return await run.call(book, what)

    @app.agent("parent")
    async def parent(run: Run) -> list[str]:
        one = await run.child(child, "bus")
        return [one, *await run.gather(run.child(child, "bed"), run.child(child, "car"))]

    trials = await survives(app, parent)

    assert len(trials) > 50
    assert {tuple(t.result) for t in trials} == {("booked bus", "booked bed", "booked car")}
    assert all(t.calls["book"] == 3 for t in trials)


async def test_the_cancellation_of_a_family_survives_a_kill_at_every_boundary() -> None:
    app = App("memory://")
    ended: list[str] = []

    @app.agent("child")
    async def child(run: Run) -> None:
        try:
            await run.receive("word")
        except RunCancelled:
            ended.append(run.id)
            raise

    @app.agent("parent")
    async def parent(run: Run) -> None:
        await run.child(child)

    async def cancel(world: App, run: Handle) -> None:
        below = await child_of(world, run)
        await until_waiting(world, run, "child")
        await until_waiting(world, below, "signal")
        await world.cancel(run.id, reason="enough")
        with pytest.raises(RunFailed, match="ended `cancelled`"):
            await below.result()

    trials = await survives(app, parent, outside=cancel)

    assert len(trials) > 10
    assert {t.status for t in trials} == {"cancelled"}
    assert ended
