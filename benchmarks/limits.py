"""What several worker processes that share a breaker, or a rate limit, can do in a second."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from perdure import Breaker, Diagnosis, FailureClass, Rate, open_store
from perdure.core.clock import SystemClock
from perdure.governance import Admitted, Breakers, Limits
from perdure.journal import Store

from .measure import ROOT, command, environment
from .workload import Measured

__all__ = ["limits", "work"]

AT_ONCE = 32
"""Calls of one process under way."""

NEVER = Breaker(failures=1000, within=timedelta(milliseconds=1))
"""Counts, and never opens."""

HUGE = Rate(10**9)
"""So that nobody is told to wait: it is the taking that is measured."""

FAILURE = Diagnosis(FailureClass.OVERLOADED, why="HTTP 503")


def _what(store: Store, what: str, name: str) -> Callable[[], Awaitable[object]]:
    breakers, all_limits = Breakers(store, SystemClock()), Limits(store)

    async def closed() -> None:
        verdict = await breakers.admit("t", "model:m", NEVER, by=name)
        assert isinstance(verdict, Admitted)
        await breakers.succeeded(verdict)

    async def failing() -> None:
        verdict = await breakers.admit("t", "model:m", NEVER, by=name)
        assert isinstance(verdict, Admitted)
        await breakers.failed(verdict, FAILURE)

    return {
        "closed": closed,
        "failing": failing,
        "one limit": lambda: all_limits.take("t", "model:m", HUGE),
        "own limit": lambda: all_limits.take("t", f"model:{name}", HUGE),
    }[what]


async def work(url: str, *, what: str, name: str, seconds: float) -> float:
    """One of the processes: it says that it is ready, is told to begin, and counts what it got done a second."""
    store = open_store(url)
    await store.open()
    call = _what(store, what, name)
    await call()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    began, count = time.perf_counter(), 0

    async def task() -> None:
        nonlocal count
        while time.perf_counter() - began < seconds:
            await call()
            count += 1

    await asyncio.gather(*(task() for _ in range(AT_ONCE)))
    rate = count / (time.perf_counter() - began)
    await store.close()
    return rate


async def limits(url: str, *, processes: int, seconds: float) -> Measured:
    """Each kind of call, by so many processes: how many a second, of all together."""
    store = open_store(url)
    await store.open()  # makes the tables, once
    await store.close()
    loop = asyncio.get_running_loop()
    measured: Measured = {}
    for what, metric in (
        ("closed", "calls through a closed breaker"),
        ("failing", "failures counted by one breaker"),
        ("one limit", "places under one limit"),
        ("own limit", "places under a limit for each"),
    ):
        workers = [
            subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
                command("limits:work", {"url": url, "what": what, "name": f"w{n}", "seconds": seconds}),
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(processes)
        ]
        for worker in workers:
            assert worker.stdout and worker.stdout.readline() == "ready\n", "a worker did not come up"
        for worker in workers:
            assert worker.stdin
            worker.stdin.write("go\n")
            worker.stdin.flush()
        rate = 0.0
        for worker in workers:
            said, _ = await loop.run_in_executor(None, worker.communicate)
            rate += float(json.loads(said.splitlines()[-1]))
        measured[metric] = (rate, "1/s")
    return measured
