"""The workload of `docs/comparison.md`: 20 turns, each a model call (1 KB answer) and a tool call (2 KB)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from perdure import App, Run

TURNS = 20
ANSWER = "a" * 1000
FOUND = "f" * 2000

Mode = Literal["step", "pipelined", "write"]


@dataclass(frozen=True)
class Measured:
    """One measurement."""

    steps: int
    seconds: float
    cpu_seconds: float


def agent_app(path: Path, mode: Mode, concurrency: int) -> tuple[App, object]:
    """An app whose agent is the workload."""
    durability: Literal["step", "pipelined"] = "pipelined" if mode == "pipelined" else "step"
    app = App(f"sqlite:///{path}", durability=durability, concurrency=concurrency)

    async def think(turn: int) -> str:
        return ANSWER

    async def look(turn: int) -> str:
        return FOUND

    tool = app.tool(effect="write" if mode == "write" else "read")(look)

    @app.agent("workload")
    async def workload(run: Run) -> int:
        for turn in range(TURNS):
            await run.step("think", think, turn)
            await run.call(tool, turn)
        return TURNS

    return app, workload


async def perdure(path: Path, *, runs: int, mode: Mode, seconds: float) -> Measured:
    """`runs` at once, again and again, for so long; starting and ending them is in the figure."""
    app, workload = agent_app(path, mode, runs)
    done = 0
    async with app:
        began, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - began < seconds:
            handles = await asyncio.gather(*(app.start(workload) for _ in range(runs)))  # pyright: ignore
            await asyncio.gather(*(handle.result() for handle in handles))
            done += runs * TURNS * 2
        return Measured(done, time.perf_counter() - began, time.process_time() - cpu)
