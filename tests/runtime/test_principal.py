"""On whose behalf a run acts: said where it is started, known in the run, its children, forks and generations."""

from __future__ import annotations

import asyncio
import json

import pytest

from perdure import App, Run
from perdure.identity import MasterKeys
from perdure.journal import RunQuery
from perdure.testing import SkippingClock


async def test_who_started_a_run_is_known_in_it_and_below_and_in_its_next_generation() -> None:
    app = App("memory://", clock=SkippingClock())

    @app.agent("below")
    async def below(run: Run) -> str | None:
        return run.principal

    @app.agent("rounds")
    async def rounds(run: Run, n: int) -> list[str | None]:
        if n == 0:
            await run.continue_as_new(1)
        return [run.principal, await run.child(below)]

    async with app:
        ann = await app.start(rounds, 0, by="user:ann")
        assert await ann.result() == ["user:ann", "user:ann"]
        nobody = await app.start(rounds, 0)
        assert await nobody.result() == [None, None]


async def test_what_a_schedule_starts_acts_for_the_schedule() -> None:
    app = App("memory://", clock=SkippingClock())

    begun = asyncio.Event()

    @app.schedule("0 * * * *", name="nightly")
    @app.agent("works")
    async def works(run: Run) -> str | None:
        begun.set()
        return run.principal

    async with app:
        async with asyncio.timeout(60):
            await begun.wait()  # by the clock
        timed = (await app.store.find(RunQuery(labels={"schedule": "nightly"})))[-1]
        assert await (await app.handle(timed.ref.id)).result() == "schedule:nightly"
        assert await (await app.schedules.trigger("nightly")).result() == "schedule:nightly"
        assert {r.principal for r in await app.store.find(RunQuery())} == {"schedule:nightly"}


async def test_whose_data_it_handles_is_known_below_and_in_its_next_generation_and_in_forks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PERDURE_MASTER_KEY", MasterKeys.new())
    app = App("memory://", clock=SkippingClock())

    @app.agent("below")
    async def below(run: Run) -> None: ...

    @app.agent("rounds")
    async def rounds(run: Run, n: int) -> int:
        await run.child(below)
        if n == 0:
            await run.continue_as_new(1)
        return n

    async with app:
        source = await app.start(rounds, 0, by="user:ann", subject="customer:bob", run_id="source")
        assert await source.result() == 1
        assert await (await app.fork("source", from_step="below", run_id="fork")).result() == 1

        found = await app.store.find(RunQuery(subject="customer:bob"))
        assert len(found) == len(await app.store.find(RunQuery(principal="user:ann"))) == 5
        journals = [(await app.store.read(r.ref, after=r.base - 1))[0] for r in found]
        assert [json.loads(first.payload)["subject"] for first in journals] == ["customer:bob"] * 5
