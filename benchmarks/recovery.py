"""A worker is killed in the middle of 200 runs: how soon another goes on with all of them, and what is done twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from perdure import App, Run
from perdure.journal import Kind

from .measure import ROOT, command, environment
from .workload import ANSWER, FOUND, TURNS, Measured

__all__ = ["recovery", "work"]

STEP_SECONDS = 0.05


def _app(url: str, lease: float, log: str, who: str) -> tuple[App, Any]:
    app = App(url, durability="step", lease=timedelta(seconds=lease))
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(me: str, key: str) -> None:
        os.write(file, f"{who} {me} {key} {time.time()}\n".encode())

    async def think(me: str, turn: int) -> str:
        note(me, f"think-{turn}")
        await asyncio.sleep(STEP_SECONDS)
        return ANSWER

    async def look(me: str, turn: int) -> str:
        note(me, f"look-{turn}")
        await asyncio.sleep(STEP_SECONDS)
        return FOUND

    @app.agent("crew")
    async def crew(run: Run, me: str) -> int:
        for turn in range(TURNS):
            await run.step(f"think-{turn}", think, me, turn)
            await run.step(f"look-{turn}", look, me, turn)
        return TURNS

    return app, crew


async def work(url: str, *, lease: float, log: str, who: str) -> None:
    """A worker, until it is killed."""
    app, _ = _app(url, lease, log, who)
    async with app:
        print("ready", flush=True)
        await asyncio.Event().wait()


def _worker(url: str, lease: float, log: str, who: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command("recovery:work", {"url": url, "lease": lease, "log": log, "who": who}),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "ready\n", "a worker did not come up"
    return process


def _lines(log: str) -> list[list[str]]:
    return [line.split() for line in Path(log).read_text().splitlines()]


async def recovery(url: str, *, runs: int, lease: float) -> Measured:
    """Kill `first` while it drives all runs; `second` is there already, idle."""
    with tempfile.TemporaryDirectory() as folder:
        log = f"{folder}/log"
        app, crew = _app(url, lease, log, "starter")
        await app.open()
        names = [f"crew-{n}" for n in range(runs)]
        workers = [_worker(url, lease, log, "first")]
        try:
            await asyncio.gather(*(app.start(crew, name, run_id=name) for name in names))
            await _until(
                lambda: len({line[1] for line in _lines(log)}) == runs, "the first worker to have all runs"
            )
            workers.append(_worker(url, lease, log, "second"))
            await asyncio.sleep(6 * STEP_SECONDS)
            workers[0].kill()
            killed = time.time()
            workers[0].wait()
            finished = {
                (name, entry.key.rpartition("/")[2].partition("#")[0])
                for name in names
                for entry in await (await app.handle(name)).entries()
                if entry.kind == Kind.RESULT
            }
            begun = {(me, key) for who, me, key, _ in _lines(log) if who == "first"}
            if not finished or not finished <= begun:
                raise RuntimeError(
                    "what is recorded and what was run do not fit; look at how keys are written"
                )
            await _until(
                lambda: len({line[1] for line in _lines(log) if line[0] == "second"}) == runs,
                "the second worker to go on with all runs",
                seconds=lease + 30,
            )
            lines = [line for line in _lines(log) if line[0] == "second"]
            first_seen = {name: min(float(at) for _, me, _, at in lines if me == name) for name in names}
            again = sum((me, key) in finished for _, me, key, _ in lines)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        await app.close()
    after = max(first_seen.values()) - killed
    return {
        "killed to all going on": (after, "s"),
        "beyond the lease": (max(0.0, after - lease), "s"),
        "the lease": (lease, "s"),
        "steps finished before": (len(finished), "steps"),
        "finished steps run again": (again, "steps"),
    }


async def _until(condition: Any, what: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(f"waited {seconds:.0f} s in vain for {what}")
        await asyncio.sleep(0.05)
