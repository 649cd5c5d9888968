"""What several worker processes whose runs share one budget can reserve in a second."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

from perdure import App, Budget, Run, open_store
from perdure.core.ids import RunRef
from perdure.governance import Amount
from perdure.governance.accounts import Drawn, Shared
from perdure.governance.ledger import Ledger
from perdure.governance.purse import Purse
from perdure.journal import Store

from .measure import ROOT, command, environment
from .workload import FOUND, Measured

__all__ = ["reservations", "work"]

AT_ONCE = 16
"""Runs of one process under way."""

CALLS = 64
"""Of one run."""

SHARED = {"tool_calls": 10**12}
"""So that nobody is refused: it is the reserving that is measured."""

ONE = Amount(tool_calls=1)


def _app(url: str) -> App:
    """Its runs share the budget of their tenant."""
    return App(url, durability="pipelined", budget={"tenant": SHARED})


async def _runs(url: str, name: str, go: Callable[[], Awaitable[None]], seconds: float) -> float:
    """Calls a second: each reserved in its run's slice, made, and charged with its result."""
    app, count = _app(url), 0

    @app.tool(effect="read")
    async def look(turn: int) -> str:
        return FOUND

    @app.agent(name)  # of its own, so that no process drives another's
    async def caller(run: Run) -> None:
        nonlocal count
        for n in range(CALLS):
            await run.call(look, n)
            count += 1

    async with app:
        await (await app.start(caller)).result()
        await go()
        began, count = time.perf_counter(), 0

        async def task() -> None:
            while time.perf_counter() - began < seconds:
                await (await app.start(caller)).result()

        await asyncio.gather(*(task() for _ in range(AT_ONCE)))
        return count / (time.perf_counter() - began)


async def _one_by_one(store: Store, name: str, go: Callable[[], Awaitable[None]], seconds: float) -> float:
    """Reservations a second of runs that make one call each: a slice is drawn for it, and given back."""
    shared = [Shared.at("tenant", Budget(**SHARED), store.now())]
    numbers = itertools.count()
    count = 0

    async def reserve() -> None:
        ref = RunRef("default", f"{name}-{next(numbers)}")
        purse = Purse(store, ref, epoch=1, head=0, ledger=Ledger())
        assert isinstance(await purse.draw(shared, ONE), Drawn)
        for change in purse.give_back(0):
            await store.amend(change)

    await reserve()
    await go()
    began = time.perf_counter()

    async def task() -> None:
        nonlocal count
        while time.perf_counter() - began < seconds:
            await reserve()
            count += 1

    await asyncio.gather(*(task() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - began)


async def work(url: str, *, sliced: bool, name: str, seconds: float) -> float:
    """One of the processes: it says that it is ready, is told to begin, and counts what it got done a second."""

    async def go() -> None:
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

    if sliced:
        return await _runs(url, name, go, seconds)
    store = open_store(url)
    await store.open()
    rate = await _one_by_one(store, name, go, seconds)
    await store.close()
    return rate


async def reservations(url: str, *, sliced: bool, processes: int, seconds: float) -> Measured:
    """So many processes at once: how many reservations a second, of all together, and how many each."""
    store = open_store(url)
    await store.open()  # makes the tables, once
    await store.close()
    loop = asyncio.get_running_loop()
    workers = [
        subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
            command("reservations:work", {"url": url, "sliced": sliced, "name": f"w{n}", "seconds": seconds}),
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
    rates: list[float] = []
    for worker in workers:
        said, _ = await loop.run_in_executor(None, worker.communicate)
        rates.append(float(json.loads(said.splitlines()[-1])))
    return {"reservations": (sum(rates), "1/s"), "slowest process": (min(rates), "1/s")}
