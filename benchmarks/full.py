"""A store with a million entries, of runs that are over: some are driven to their ends, and their rows are copied."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from perdure import App, Run, RunFailed
from perdure.telemetry.projector import Projector

from .claims import copied
from .workload import ANSWER

__all__ = ["LONG", "LONG_STEPS", "STEPS", "fill"]

STEPS = 20
LONG_STEPS = 1_000
LONG = "long"
"""The run of so many steps."""


def _answer() -> str:
    return ANSWER[:200]


def fill(url: str, *, entries: int) -> int:
    """At least so many entries, and the figures of the runs that they belong to. How many entries there are."""
    return asyncio.run(_fill(url, entries))


async def _fill(url: str, entries: int) -> int:
    app = App(url)

    @app.agent("works")
    async def works(run: Run, steps: int) -> int:
        for n in range(steps):
            await run.step(f"s{n}", _answer)
        if steps == STEPS + 1:
            raise ValueError("this one fails")
        return steps

    async with app:
        handles: list[Any] = [
            await app.start(works, LONG_STEPS, run_id=LONG, labels={"team": "red"}),
            await app.start(works, STEPS, run_id="works", labels={"team": "blue"}),
            await app.start(works, STEPS + 1, run_id="fails", labels={"team": "blue"}),
        ]
        for handle in handles:
            with suppress(RunFailed):
                await handle.result()
        await Projector(app.store).bring_up()
        read = [len(await app.store.read(handle.ref)) for handle in handles]
    most = max(1, entries // read[1])
    copies = {"works": most - most // 10, "fails": most // 10 + 1}
    copied(url, copies)
    return sum(read) + copies["works"] * read[1] + copies["fails"] * read[2]
