"""The server under load: runs started through the API while others wait, pages of the list, streams that are held.

Server and load share one process and its loop, so both are in every figure; what goes over the wire goes over loopback.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from pathlib import Path
from typing import Any

import httpx2

from perdure import App, Run
from perdure.access import Caller, Role
from perdure.core.principal import Principal
from perdure.server import asgi
from perdure.server.serving import Serving

from .workload import Measured

__all__ = ["load"]

AT_ONCE = 32


class _Open:
    """A gate that lets everybody in: what is measured stands behind it."""

    async def caller_of(self, request: Any) -> Caller:
        ann = Principal(subject="user:ann", issuer="bench")
        return Caller(principal=ann, tenant="default", roles=frozenset({Role.ADMIN}), via="bench")


def load(url: str, *, waiting: int, starts: int, clients: int) -> Measured:
    """Start `waiting` runs that wait, then `starts` more beside them; look at pages; hold `clients` streams."""
    return asyncio.run(_load(url, waiting, starts, clients))


async def _load(url: str, waiting: int, starts: int, clients: int) -> Measured:
    app = App(url)

    @app.agent("waits")
    async def waits(run: Run, n: int) -> object:
        return await run.receive("go")

    server = Serving(asgi(app, gate=_Open(), worker=True, pages=False), host="127.0.0.1", port=0)
    address = server.bind()
    up = asyncio.Event()
    running = asyncio.create_task(server.run(up.set))
    await up.wait()
    limits = httpx2.Limits(max_connections=clients + AT_ONCE + 8)
    async with httpx2.AsyncClient(base_url=f"{address}/api/v1", limits=limits, timeout=60) as http:
        await _start(http, "w", waiting)
        rate = await _start(http, "s", starts)
        lists = [await _timed(http, "/runs") for _ in range(100)]
        shown = [await _timed(http, f"/runs/s-{n % starts}/entries") for n in range(100)]
        gc.collect()
        before = _resident()
        opened = asyncio.Semaphore(0)
        streams = [asyncio.create_task(_hold(http, f"w-{n % waiting}", opened)) for n in range(clients)]
        for _ in streams:
            await opened.acquire()
        held = _resident() - before
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    server.stop()
    await running
    return {
        "runs started through the API": (rate, "1/s"),
        "the runs list, p95": (_p95(lists), "s"),
        "a run's entries, p95": (_p95(shown), "s"),
        "memory of the streams, both ends": (float(held), "bytes"),
    }


async def _start(http: httpx2.AsyncClient, name: str, count: int) -> float:
    numbers = iter(range(count))

    async def some() -> None:
        for n in numbers:
            body = {"agent": "waits", "input": n, "run_id": f"{name}-{n}"}
            (await http.post("/runs", json=body)).raise_for_status()

    began = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - began)


async def _timed(http: httpx2.AsyncClient, path: str) -> float:
    began = time.perf_counter()
    (await http.get(path)).raise_for_status()
    return time.perf_counter() - began


async def _hold(http: httpx2.AsyncClient, run: str, opened: asyncio.Semaphore) -> None:
    async with http.stream("GET", f"/runs/{run}/events") as response:
        first = True
        async for _ in response.aiter_bytes():
            if first:
                opened.release()
                first = False


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[18]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
