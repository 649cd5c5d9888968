"""Waiting runs: what one holds, how soon a worker is ready with 100,000 of them, how soon a signal wakes one."""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import subprocess
import time
import tracemalloc
from pathlib import Path
from typing import Any

from perdure import App, Run, RunStatus
from perdure.journal import RunQuery

from .measure import ROOT, apart, command, environment
from .postgres import cpu_seconds
from .sizes import stored_bytes
from .workload import Measured, done

__all__ = [
    "held",
    "memory",
    "populate",
    "ready",
    "restart",
    "resumer",
    "signals",
    "signals_from_elsewhere",
    "wakeups",
]


def waiting_app(url: str) -> tuple[App, Any, dict[str, asyncio.Event], dict[str, float]]:
    """An app whose agent waits for a signal; events and times (wall clock) of those that have got it."""
    app = App(url)
    woken: dict[str, asyncio.Event] = {}
    times: dict[str, float] = {}

    @app.agent("waits")
    async def waits(run: Run, me: str) -> object:
        got = await run.receive("go")
        times[me] = time.time()
        if me in woken:
            woken[me].set()
        return got

    return app, waits, woken, times


def _name(number: int) -> str:
    return f"waits-{number}"


async def _start(app: App, waits: Any, first: int, count: int, *, same: bool = False) -> None:
    for at in range(first, first + count, 1000):
        batch = [_name(n) for n in range(at, min(at + 1000, first + count))]
        await asyncio.gather(*(app.start(waits, "one" if same else name, run_id=name) for name in batch))
    moving = RunQuery(statuses=frozenset({RunStatus.PENDING, RunStatus.RUNNING}), limit=1)
    while await app.store.find(moving):
        await app.store.changed(app.store.changes(), within=0.2)
    # On disk they wait already; what drove them is still being taken down.
    while any(task.get_name().startswith("run ") for task in asyncio.all_tasks()):  # noqa: ASYNC110  # not our tasks
        await asyncio.sleep(0.05)


# memory --------------------------------------------------------------------------------------------------------


def resident_bytes() -> int:
    """Memory of this process now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


async def held(url: str, *, trace: bool, few: int, many: int) -> float:
    """Bytes a waiting run holds: of Python objects (`trace`), or of the process, whose allocator keeps pages."""
    app, waits, _, _ = waiting_app(url)

    async def start(first: int, count: int) -> int:
        # All with the same input: pydantic keeps the last 16,384 short strings that it has read, which is no leak.
        await _start(app, waits, first, count, same=True)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] if trace else resident_bytes()

    if trace:
        tracemalloc.start()
    async with app:
        before = await start(0, few)
        after = await start(few, many - few)
    return max(0, after - before) / (many - few)


def memory(url: str, *, few: int, many: int) -> Measured:
    """The slope between so few and so many waiting runs, by both ways of weighing."""
    objects = apart("waiting:held", url=f"{url}", trace=True, few=few, many=many)
    if url.startswith("sqlite:"):
        url += "-resident"
    else:
        apart("waiting:clear", url=url)
    resident = apart("waiting:held", url=url, trace=False, few=few, many=many)
    return {"objects of one waiting run": (objects, "bytes"), "resident, of one": (resident, "bytes")}


def clear(url: str) -> bool:
    """Take Perdure's tables out of a PostgreSQL database."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as link:
        link.execute("drop schema perdure cascade")
    return True


# restart and signals -------------------------------------------------------------------------------------------


async def populate(url: str, *, count: int) -> float:
    """So many runs, started and driven until they wait. How many a second."""
    app, waits, _, _ = waiting_app(url)
    async with app:
        began = time.perf_counter()
        await _start(app, waits, 0, count)
        return count / (time.perf_counter() - began)


async def ready(url: str, *, at: float) -> dict[str, float]:
    """From the start of a process (`at`, wall clock) to a worker that is ready, and to the end of a run that it did."""
    app = App(url)

    @app.agent("echo")
    async def echo(run: Run) -> int:
        return 1

    _, waits, _, _ = waiting_app(url)
    app.agents[waits.name, waits.version] = waits
    await app.open()
    worker = app.new_worker()
    up = asyncio.Event()
    task = asyncio.create_task(worker.run(up))
    await up.wait()
    ready_after = time.time() - at
    app.endings.worker = task
    await (await app.start(echo)).result()
    first_after = time.time() - at
    done({"ready": (ready_after, "s"), "first": (first_after, "s"), "resident": (resident_bytes(), "bytes")})


async def signals(url: str, *, count: int, sample: int) -> Measured:
    """Signal some of them, one after the other, from the worker's own process: how soon their program goes on."""
    app, _, woken, _ = waiting_app(url)
    dice = random.Random(7)
    took: list[float] = []
    async with app:
        await asyncio.sleep(0.3)
        for number in dice.sample(range(count // 2), sample):
            name = _name(number)
            woken[name] = asyncio.Event()
            began = time.perf_counter()
            await app.signal(name, "go")
            await asyncio.wait_for(woken[name].wait(), 30)
            took.append(time.perf_counter() - began)
            await asyncio.sleep(dice.uniform(0, 0.03))  # not in step with the worker's own rhythm
    return _percentiles("signal to going on", took)


def _percentiles(what: str, took: list[float]) -> Measured:
    return {
        f"{what}, p50": (statistics.median(took) * 1e3, "ms"),
        f"{what}, p99": (statistics.quantiles(took, n=100)[98] * 1e3, "ms"),
    }


async def resumer(url: str, *, sample: int) -> dict[str, float]:
    """A worker that says when it is ready, and in the end when each run went on."""
    app, _, _, times = waiting_app(url)
    async with app:
        print("ready", flush=True)
        await asyncio.wait_for(_all(times, sample), 120)
        done({name: (at, "s") for name, at in times.items()})


async def wakeups(url: str, *, count: int, sample: int) -> Measured:
    """Signal many at once: how many a second go on, end and are recorded; CPU of this process and of the server."""
    app, _, _, times = waiting_app(url)
    async with app:
        await asyncio.sleep(0.3)
        on_server = None if url.startswith("sqlite:") else cpu_seconds(url)
        began, cpu = time.perf_counter(), time.process_time()
        names = [_name(number) for number in range(count, count + sample)]
        await asyncio.gather(*(app.signal(name, "go") for name in names))
        handles = await asyncio.gather(*(app.handle(name) for name in names))
        await asyncio.gather(*(handle.result() for handle in handles))
        took = time.perf_counter() - began
        measured: Measured = {
            "wake-ups, of many at once": (sample / took, "1/s"),
            "CPU of a wake-up": ((time.process_time() - cpu) / sample * 1e6, "us"),
        }
        if on_server is not None:
            measured["server CPU of a wake-up"] = ((cpu_seconds(url) - on_server) / sample * 1e6, "us")
        assert len(times) >= sample
        done(measured)


async def _all(times: dict[str, float], sample: int) -> None:
    while len(times) < sample:  # noqa: ASYNC110  # the agents know nothing of who counts them
        await asyncio.sleep(0.05)


async def signals_from_elsewhere(url: str, *, count: int, sample: int) -> Measured:
    """The same, from a process that has no worker, by the machine's wall clock."""
    import json

    worker = subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
        command("waiting:resumer", {"url": url, "sample": sample}),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout and worker.stdout.readline() == "ready\n", "the worker did not come up"
    app, _, _, _ = waiting_app(url)
    await app.open()
    dice = random.Random(11)
    sent: dict[str, float] = {}
    for number in dice.sample(range(count // 2, count), sample):
        sent[_name(number)] = time.time()
        await app.signal(_name(number), "go")
        await asyncio.sleep(dice.uniform(0.02, 0.06))
    said, _ = await asyncio.get_running_loop().run_in_executor(None, worker.communicate)
    times = json.loads(said.splitlines()[-1])
    await app.close()
    return _percentiles("from another process", [times[name][0] - at for name, at in sent.items()])


def restart(url: str, *, count: int, sample: int, rounds: int) -> Measured:
    """Populate, restart some times, then signal."""
    at_once = 10 * sample
    rate = apart("waiting:populate", url=url, count=count + at_once, timeout=1800)
    starts = [apart("waiting:ready", url=url, at=time.time()) for _ in range(rounds)]
    measured: Measured = {
        "started and put to wait": (rate, "1/s"),
        "bytes of one in the store": (stored_bytes(url) / (count + at_once), "bytes"),
    }
    for metric, key in (("restart to ready", "ready"), ("restart to the end of a new run", "first")):
        measured[metric] = (statistics.median(one[key][0] for one in starts), "s")
    measured["resident memory of that worker"] = (
        statistics.median(s["resident"][0] for s in starts),
        "bytes",
    )
    for name in ("waiting:signals", "waiting:signals_from_elsewhere"):
        measured.update(apart(name, url=url, count=count, sample=sample))
    measured.update(apart("waiting:wakeups", url=url, count=count, sample=at_once))
    return measured
