"""What each stage of the boundary adds to a call: one run that calls a tool again and again, free of work."""

from __future__ import annotations

import statistics
import time
from datetime import timedelta
from typing import Any

from perdure import App, Breaker, Budget, Cache, Rate, Retry, Run

from .workload import FOUND, Measured

__all__ = ["STAGES", "calls"]

HUGE = Rate(10**9)
CALLS = 200
"""Of one run."""

STAGES: dict[str, dict[str, Any]] = {
    "nothing declared": {},
    "retry and breaker": {"retry": Retry(), "breaker": Breaker()},
    "rate over all workers": {"rate": HUGE},
    "cache, never hit": {"cache": Cache(timedelta(hours=1))},
    "cache, always hit": {"cache": Cache(timedelta(hours=1))},
    "approval rule that asks nobody": {"needs_approval": lambda turn: False},
    "budget of the run": {},
    "breaker, approval rule and budget": {"breaker": Breaker(), "needs_approval": lambda turn: False},
}


async def calls(url: str, *, stage: str, seconds: float) -> Measured:
    """The time of a call as the program sees it, and the CPU of this process for it. Commits travel meanwhile."""
    app = App(url, durability="pipelined")
    took: list[float] = []
    hit = stage == "cache, always hit"

    @app.tool(effect="read", **STAGES[stage])
    async def look(turn: int) -> str:
        return FOUND

    budget = Budget(tool_calls=10**9) if "budget" in stage else None
    n = 0

    @app.agent("caller", budget=budget)
    async def caller(run: Run) -> int:
        nonlocal n
        for _ in range(CALLS):
            n += 1
            began = time.perf_counter()
            await run.call(look, 0 if hit else n)
            took.append(time.perf_counter() - began)
        return CALLS

    async with app:
        await (await app.start(caller)).result()  # warm
        took.clear()
        until, cpu = time.perf_counter() + seconds, time.process_time()
        while time.perf_counter() < until:
            await (await app.start(caller)).result()
        cpu = time.process_time() - cpu
    return {
        "median call": (statistics.median(took) * 1e3, "ms"),
        "p99 call": (statistics.quantiles(took, n=100)[98] * 1e3, "ms"),
        "CPU per call": (cpu / len(took) * 1e6, "us"),
    }
