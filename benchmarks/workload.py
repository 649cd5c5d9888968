"""The workload of `docs/comparison.md`: 20 turns, each a model call (1 KB answer) and a tool call (2 KB).

Knows nothing of Perdure, so that the contenders can import it in an environment of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import string
import sys
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

__all__ = [
    "ALONE",
    "ANSWER",
    "CYCLE",
    "FOUND",
    "STEPS",
    "TURNS",
    "Measured",
    "Window",
    "done",
    "measure_tasks",
]

TURNS = 20
STEPS = 2 * TURNS
CYCLE = STEPS + 1
"""of an agent, which has a last word"""

# Text that does not compress to nothing, as a real answer does not: PostgreSQL compresses values above 2 KB.
_letters = random.Random(1).choices(string.ascii_letters + string.digits + "     ", k=3000)
ANSWER = "".join(_letters[:1000])
FOUND = "".join(_letters[1000:])

Measured = dict[str, tuple[float, str]]
"""What a measurement hands back: metric -> value, unit."""


MOST_WARM_SECONDS = 30.0


class Window:
    """Counts steps between two moments, so that a contender is measured while it works, not while it starts.

    A program calls `step()` where a step has come back to it, which is when the next may begin.
    """

    def __init__(self, seconds: float, *, runs: int = 0) -> None:
        self.steps = 0
        self.runs = runs
        """so many are at work once there were so many steps; the window opens after that"""
        self.seconds = seconds
        self.warm = min(1.5, seconds / 2)
        self.on_disk: Callable[[], float] | None = None
        """counts what is on disk instead, where a step comes back before it is"""

    def step(self) -> None:
        """Another step is done."""
        self.steps += 1

    def _count(self) -> float:
        return self.steps if self.on_disk is None else self.on_disk()

    async def watch(self) -> Measured:
        """Wait for the window to pass: steps a second, and CPU of this process a step."""
        await asyncio.sleep(self.warm)
        until = time.perf_counter() + MOST_WARM_SECONDS
        while self.steps < self.runs and time.perf_counter() < until:  # noqa: ASYNC110  # threads count, too
            await asyncio.sleep(0.05)
        steps, began, cpu = self._count(), time.perf_counter(), time.process_time()
        await asyncio.sleep(self.seconds)
        until = time.perf_counter() + MOST_WARM_SECONDS
        while self._count() == steps and time.perf_counter() < until:  # noqa: ASYNC110  # a busy machine, a short window
            await asyncio.sleep(0.05)
        total = self._count()
        steps, took, cpu = total - steps, time.perf_counter() - began, time.process_time() - cpu
        if not steps:
            raise RuntimeError(f"not one step in {took:.1f} s")
        return {
            "steps per second": (steps / took, "1/s"),
            "CPU per step": (cpu / steps * 1e6, "us"),
            "_steps": (total, "steps"),  # since the beginning: for what the server used in all
        }


ALONE = ", one run"
"""Ends the names of what was measured of one run, beside those of many."""


async def measure_tasks(
    window: Window, once: Callable[[], Awaitable[None]], *, runs: int, cycle: int = 0
) -> NoReturn:
    """Keep so many runs at work, each followed by another, while the window passes. The process ends with it.

    `cycle`: the steps of one run, where a late step costs more than an early one. Runs are begun one after the other
    then, so that all stages of a run are at work at any time, and a window says the same wherever it opens.
    """

    async def task() -> None:
        while True:
            await once()

    tasks: list[asyncio.Task[None]] = []
    for number in range(runs):
        due = (
            cycle * number * (number - 1) // (2 * runs)
        )  # those at work share a cycle's steps until the next begins
        while window.steps < due and not any(one.done() for one in tasks):  # noqa: ASYNC110  # counts steps
            await asyncio.sleep(0.002)
        tasks.append(asyncio.create_task(task()))
    watching = asyncio.create_task(window.watch())
    await asyncio.wait([watching, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for one in tasks:
        if one.done():
            one.result()  # raises what went wrong
    measured = watching.result()
    if runs == 1:
        measured = {name + ALONE: found for name, found in measured.items() if not name.startswith("_")}
    done(measured)


def done(measured: Measured) -> NoReturn:
    """Print what was measured and end the process as it stands: what is still under way is not waited for."""
    print(json.dumps(measured))
    sys.stdout.flush()
    os._exit(0)
