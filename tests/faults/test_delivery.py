"""F3, F4 and F5: one run delivered twice, a blocked event loop, a call much longer than the lease."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from perdure import App, Run
from perdure.core.ids import RunRef
from perdure.engines import WorkerOptions
from perdure.journal import Store
from perdure.runtime.conversation.messages import ModelReply, ModelRequest
from tests.faults.processes import Site, kinds
from tests.faults.programs import slow


class Held:
    """An app whose run stands in a step until it is let go."""

    def __init__(self, store: str | Store) -> None:
        self.app = App(store)
        self.begun = 0
        self.inside = asyncio.Event()
        self.go = asyncio.Event()

        async def hold() -> str:
            self.begun += 1
            self.inside.set()
            await self.go.wait()
            return "held"

        @self.app.agent("holder")
        async def holder(run: Run) -> str:
            return await run.step("hold", hold)

        self.holder = holder


@pytest.mark.parametrize("shared", ["one store", "two stores"])
async def test_of_two_deliveries_one_wins_and_the_other_returns_at_once(store_url: str, shared: str) -> None:
    first = Held(store_url)
    second = Held(first.app.store if shared == "one store" else store_url)
    run = await first.app.start(first.holder)
    await second.app.open()
    only = WorkerOptions(only=run.ref)

    async with asyncio.timeout(30):
        deliveries = [asyncio.create_task(held.app.new_worker(only).run()) for held in (first, second)]
        done, pending = await asyncio.wait(deliveries, return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), len(pending)) == (1, 1)  # the loser is back while the winner is at work
        insides = [asyncio.create_task(held.inside.wait()) for held in (first, second)]
        await asyncio.wait(insides, return_when=asyncio.FIRST_COMPLETED)
        for held in (first, second):
            held.go.set()
        await asyncio.wait(deliveries)
    for inside in insides:
        inside.cancel()

    assert first.begun + second.begun == 1
    assert [e.epoch for e in await run.entries()] == [0, 1, 1, 1]
    assert kinds(await run.entries()) == ["started", "claimed", "result", "ended"]
    await second.app.close()
    await first.app.close()


async def test_two_workers_of_one_process_share_many_runs_without_doing_one_twice(store_url: str) -> None:
    app = App(store_url)
    seen: list[str] = []

    async def work(name: str) -> str:
        seen.append(name)
        return name

    @app.agent("busy")
    async def busy(run: Run, name: str) -> str:
        return await run.step("work", work, name)

    names = [f"r{n}" for n in range(200)]
    for name in names:
        await app.start(busy, name, run_id=name)
    workers = [app.new_worker(WorkerOptions(concurrency=8)) for _ in range(2)]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    refs = [RunRef("default", name) for name in names]
    async with asyncio.timeout(60):
        while len(await app.store.ended(refs)) < len(refs):
            await app.store.changed(app.store.changes(), within=0.05)
    for worker in workers:
        worker.stop()
    await asyncio.gather(*tasks)

    assert sorted(seen) == sorted(names)
    assert sum(worker.driven for worker in workers) == len(names)
    assert all(worker.driven for worker in workers)
    await app.close()


@pytest.mark.parametrize(
    ("how", "leases"),
    [("block", 3), ("await", 5), ("thread", 3)],
    ids=["F4-blocked-loop", "F5-await", "F5-thread"],
)
async def test_a_call_longer_than_the_lease_keeps_its_claim(site: Site, how: str, leases: int) -> None:
    """Another worker stands by, and would take the run the moment the lease was over."""
    await site.app.start(slow.register(site.app), how, run_id="r1")
    seconds = str(site.lease * leases)
    workers = [await site.worker("slow", SECONDS=seconds) for _ in range(2)]

    await site.ended("r1")

    entries = await site.entries("r1")
    assert kinds(entries) == ["started", "claimed", "intent", "result", "ended"]
    assert site.notes() == [f"begin {how}", f"end {how}"]
    assert entries[3].took >= site.lease * leases * 1e6
    assert json.loads(entries[-1].payload)["result"] == how
    for worker in workers:
        assert "lease was lost" not in worker.said
        assert "took over" not in worker.said


class Slow:
    """A model that thinks for several leases."""

    def __init__(self) -> None:
        self.asked = 0

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        self.asked += 1
        await asyncio.sleep(2.0)
        return ModelReply(text="at last")


async def test_a_slow_model_is_asked_once(store_url: str) -> None:
    """F5, through `run.model`; a second worker stands by."""
    app = App(store_url, lease=timedelta(seconds=0.5))
    slow_model = Slow()
    app.models.register("slow", slow_model)

    @app.agent("asker")
    async def asker(run: Run) -> str:
        return await run.model("slow:coach", "are you there?")

    async with app:
        bystander = app.new_worker()
        task = asyncio.create_task(bystander.run())
        run = await app.start(asker)
        assert await run.result() == "at last"
        bystander.stop()
        await task
        assert kinds(await run.entries()).count("claimed") == 1
    assert slow_model.asked == 1
