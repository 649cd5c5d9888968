"""Durable steps of Perdure, in its three modes, for one worker process and for several."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Literal, NoReturn

from perdure import App, Run

from .measure import ROOT, command, environment
from .workload import ANSWER, FOUND, STEPS, TURNS, Measured, Window, measure_tasks

__all__ = ["Mode", "fleet", "perdure", "steps_on_disk", "work", "workload_app"]

Mode = Literal["step", "pipelined", "write"]
"""Every step on disk before the next; commits under way meanwhile; the tools are writes, with intents."""


def workload_app(
    url: str, mode: Mode, *, seconds: float = 0, concurrency: int = 256, turns: int = TURNS
) -> tuple[App, Any, Window]:
    """An app whose agent is the workload, and what counts its steps."""
    durability: Literal["step", "pipelined"] = "step" if mode == "step" else "pipelined"
    app = App(url, durability=durability, concurrency=concurrency)
    window = Window(seconds)

    async def think(turn: int) -> str:
        return ANSWER

    async def look(turn: int) -> str:
        return FOUND

    tool = app.tool(effect="write" if mode == "write" else "read")(look)

    @app.agent("workload")
    async def workload(run: Run) -> int:
        for turn in range(turns):
            await run.step("think", think, turn)
            window.step()
            await run.call(tool, turn)
            window.step()
        return turns

    return app, workload, window


def steps_on_disk(url: str, entries_of_run: int, *, steps: int = STEPS) -> Callable[[], float]:
    """Counts the steps whose results are on disk, by the heads of all runs: entries, so many of them for each run.

    `entries_of_run` is taken until a run has ended: its `steps`, three for begun, claimed and ended, a write's intent.
    """
    if url.startswith("sqlite:///"):
        import apsw

        sqlite = apsw.Connection(url.removeprefix("sqlite:///"), flags=apsw.SQLITE_OPEN_READONLY)
        sqlite.set_busy_timeout(5_000)

        def ask(sql: str) -> Any:
            return next(iter(sqlite.execute(sql)))[0]
    else:
        import psycopg

        postgres = psycopg.connect(url, autocommit=True, options="-c search_path=perdure")

        def ask(sql: str) -> Any:
            row = postgres.execute(sql.encode()).fetchone()
            return row[0] if row else None

    def count() -> float:
        entries = ask("select coalesce(sum(head), 0) from runs")
        whole = ask("select max(head) from runs where status = 'succeeded'") or entries_of_run
        return float(entries) * steps / float(whole)

    return count


async def perdure(url: str, *, mode: Mode, runs: int, seconds: float) -> NoReturn:
    """So many runs at once, each followed by another, for so long; starting and ending them is in the figure."""
    app, workload, window = workload_app(url, mode, seconds=seconds, concurrency=runs)
    window.runs = runs

    async def once() -> None:
        await (await app.start(workload)).result()

    async with app:
        window.on_disk = steps_on_disk(url, STEPS + 3 + (TURNS if mode == "write" else 0))
        await measure_tasks(window, once, runs=runs)


async def work(url: str, *, seconds: float) -> Measured:
    """One of several worker processes: it says that it is ready, is told to begin, and works on what is queued."""
    app, _, window = workload_app(url, "step", seconds=seconds)
    window.runs = 256
    await app.open()
    worker = app.new_worker()
    ready = asyncio.Event()
    task = asyncio.create_task(worker.run(ready))
    await ready.wait()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    measured = await window.watch()
    if task.done():
        task.result()
    return measured


async def fleet(url: str, *, processes: int, seconds: float, queued: int) -> Measured:
    """A queue of runs, and so many worker processes that share it: their steps a second together."""
    app, workload, _ = workload_app(url, "step")
    await app.open()
    for at in range(0, queued, 1000):
        await asyncio.gather(*(app.start(workload) for _ in range(min(1000, queued - at))))
    await app.close()
    workers = [
        subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
            command("steps:work", {"url": url, "seconds": seconds}),
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout and worker.stdout.readline() == "ready\n", "a worker did not come up"
    found: list[dict[str, tuple[float, str]]] = []
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        said, _ = await asyncio.get_running_loop().run_in_executor(None, worker.communicate)
        found.append(json.loads(said.splitlines()[-1]))
    rate = sum(one["steps per second"][0] for one in found)
    if rate * seconds > 0.95 * queued * STEPS:
        raise RuntimeError(f"{queued} queued runs were too few for {seconds:.0f} s at {rate:.0f} steps/s")
    cpu = sum(one["CPU per step"][0] * one["steps per second"][0] for one in found) / rate
    return {
        "steps per second": (rate, "1/s"),
        "CPU per step": (cpu, "us"),
        "cores": (os.cpu_count() or 1, "cores"),
    }
