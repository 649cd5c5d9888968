"""Many runs that lost their workers, and are to go alone."""

from __future__ import annotations

import asyncio
from typing import Any

from perdure import App, Run
from perdure.engines.worker import MOST_ALONE, MOST_UNCLEAN
from perdure.journal import RunStatus, Serves, Session

RUNS = 20


async def test_a_database_that_was_away_does_not_make_a_process_for_every_run() -> None:
    app = App("memory://")

    @app.agent("bystander")
    async def bystander(run: Run) -> None:
        """Had no time to do anything."""

    runs = [await app.start(bystander) for _ in range(RUNS)]
    for n in range(MOST_UNCLEAN):
        await app.store.register(Session(id=f"w{n}", lease=60_000_000))
        await app.store.claim(f"w{n}", [Serves("bystander", "1")], limit=RUNS)
        await app.store.expire(f"w{n}")
        await app.store.recover()
    inside, most = 0, 0

    async def isolate(*_: Any) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.005)
        inside -= 1

    worker = app.new_worker(isolate=isolate)
    task = asyncio.create_task(worker.run())
    async with asyncio.timeout(30):
        refs = [run.ref for run in runs]
        while len(await app.store.ended(refs)) < RUNS:
            await app.store.changed(app.store.changes(), within=0.05)
    worker.stop()
    await task

    assert 1 < most <= MOST_ALONE
    assert {await run.status() for run in runs} == {RunStatus.QUARANTINED}
    await app.close()
