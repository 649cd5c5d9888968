"""How long a run of many steps takes to be claimed, read, verified and replayed by a worker that has never seen it."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from perdure import App, Run, RunStatus

from .measure import apart
from .workload import ANSWER, FOUND, Measured, done

__all__ = ["build", "once", "replay"]


def _app(url: str, steps: int) -> tuple[App, Any, list[object], asyncio.Event]:
    app = App(url)
    got: list[object] = []
    news = asyncio.Event()

    async def think(turn: int) -> str:
        return ANSWER if turn % 2 else FOUND

    @app.agent("long")
    async def long(run: Run) -> None:
        for turn in range(steps):
            await run.step("think", think, turn)
        while True:
            got.append(await run.receive("go"))
            news.set()

    return app, long, got, news


async def build(url: str, *, steps: int) -> bool:
    """A run of so many steps that waits."""
    app, long, _, _ = _app(url, steps)
    async with app:
        handle = await app.start(long, run_id="long-1")
        while await handle.status() is not RunStatus.WAITING:
            await app.store.changed(app.store.changes(), within=0.2)
    return True


async def once(url: str, *, steps: int, signal: int) -> float:
    """Milliseconds from the start of a worker to the point where the program goes on, past all its steps."""
    app, _, got, news = _app(url, steps)
    await app.signal("long-1", "go", signal)
    worker = app.new_worker()
    began = time.perf_counter()
    task = asyncio.create_task(worker.run())
    while signal not in got:
        news.clear()
        await asyncio.wait_for(news.wait(), 120)
    took = (time.perf_counter() - began) * 1e3
    # Let it go back to waiting, so that the next process finds it in good order.
    worker.stop()
    await task
    await app.close()
    done(took)  # pyright: ignore[reportArgumentType]


def replay(url: str, *, steps: int, rounds: int) -> Measured:
    """The median of some fresh processes."""
    apart("replay:build", url=url, steps=steps)
    times = [apart("replay:once", url=url, steps=steps, signal=n) for n in range(rounds)]
    return {f"replay of {steps:,} steps": (statistics.median(times), "ms")}
