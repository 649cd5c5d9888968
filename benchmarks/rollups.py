"""Projections: CPU of an entry that is folded, and how long a scrape of the metrics takes."""

from __future__ import annotations

import asyncio
import time

from perdure import App, Run
from perdure.journal import RunQuery
from perdure.telemetry.metrics import exposed, read_metrics
from perdure.telemetry.projector import Projector

from .workload import ANSWER, Measured

__all__ = ["rollups"]

STEPS = 20
SCRAPES = 20


def rollups(url: str, *, runs: int) -> Measured:
    """Drive so many runs of 20 steps, then fold all of them anew, and scrape."""
    return asyncio.run(_rollups(url, runs))


def _answer() -> str:
    return ANSWER[:200]


async def _rollups(url: str, runs: int) -> Measured:
    app = App(url)

    @app.agent("works")
    async def works(run: Run) -> int:
        for n in range(STEPS):
            await run.step(f"s{n}", _answer)
        return STEPS

    async with app:
        for at in range(0, runs, 200):
            handles = [await app.start(works) for _ in range(at, min(at + 200, runs))]
            await asyncio.gather(*(handle.result() for handle in handles))
    await app.open()
    projector = Projector(app.store)
    await projector.bring_up()
    await app.store.drop_projections()
    began, cpu = time.perf_counter(), time.process_time()
    await projector.catch_up()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    entries = sum(record.head for record in await app.store.find(RunQuery(agent="works", limit=runs)))
    began = time.perf_counter()
    for _ in range(SCRAPES):
        exposed(await read_metrics(app.store, tenant="default"), accept="")
    scrape = (time.perf_counter() - began) / SCRAPES
    await app.close()
    return {
        "CPU of an entry folded": (cpu / entries * 1e6, "us"),
        "entries folded": (entries / took, "1/s"),
        "a scrape": (scrape * 1e3, "ms"),
    }
