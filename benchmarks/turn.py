"""One run whose model takes 20 ms: what durability adds to a turn."""

from __future__ import annotations

import statistics
import time
from typing import Literal

from perdure import App, Run

from .slow_model import slow_model
from .workload import FOUND, TURNS, Measured

__all__ = ["durable", "plain"]


async def _look(turn: int) -> str:
    return FOUND


def _found(turns: list[float]) -> Measured:
    return {
        "median turn": (statistics.median(turns) * 1e3, "ms"),
        "p99 turn": (statistics.quantiles(turns, n=100)[98] * 1e3, "ms"),
    }


async def plain(*, seconds: float) -> Measured:
    """The same program with no durability."""
    turns: list[float] = []
    async with slow_model() as model:
        await model.think(0)
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            await model.think(0)
            await _look(0)
            turns.append(time.perf_counter() - began)
    return _found(turns)


async def durable(url: str, *, durability: Literal["step", "pipelined"], seconds: float) -> Measured:
    """One run after the other, each of 20 turns; the time of a turn as the program sees it."""
    turns: list[float] = []
    app = App(url, durability=durability)
    look = app.tool(effect="read")(_look)

    async with slow_model() as model:
        await model.think(0)

        @app.agent("workload")
        async def workload(run: Run) -> int:
            for turn in range(TURNS):
                began = time.perf_counter()
                await run.step("think", model.think, turn)
                await run.call(look, turn)
                turns.append(time.perf_counter() - began)
            return TURNS

        async with app:
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                await (await app.start(workload)).result()
    return _found(turns)
