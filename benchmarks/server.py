"""The server under load, on a full store: lists and pages, runs started while others wait, streams held.

Server, worker and load share one process and its loop, so all are in every figure; what goes over the wire goes over
loopback.
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

from .full import LONG
from .measure import apart
from .workload import Measured

__all__ = ["load"]

AT_ONCE = 32

LOOKS = 60
"""At each page."""

_LOOKS = {
    "runs list, API": "/api/v1/runs",
    "runs list by status, API": "/api/v1/runs?status=failed",
    "runs list by a rare label, API": "/api/v1/runs?label=team=red",
    "a run, API": "/api/v1/runs/works",
    "a run's entries, API": "/api/v1/runs/works/entries",
    "runs list, page": "/runs",
    "runs list by a rare label, page": "/runs?label=team%3Dred",
    "run page": "/runs/works",
    "run page, 1,000 steps": f"/runs/{LONG}",
}
"""What is looked at, one at a time."""


class _Open:
    """A gate that lets everybody in: what is measured stands behind it."""

    async def caller_of(self, request: Any) -> Caller:
        ann = Principal(subject="user:ann", issuer="bench")
        return Caller(principal=ann, tenant="default", roles=frozenset({Role.ADMIN}), via="bench")


def load(url: str, *, entries: int, waiting: int, starts: int, clients: int) -> Measured:
    """Look at a store of so many `entries`; start `waiting` runs that wait, `starts` beside; hold `clients` streams."""
    began = time.perf_counter()
    there = apart("full:fill", url=url, entries=entries)
    filled = time.perf_counter() - began
    return {
        "entries in the store": (float(there), ""),
        "filled in": (filled, "s"),
        **asyncio.run(_load(url, waiting, starts, clients)),
    }


async def _load(url: str, waiting: int, starts: int, clients: int) -> Measured:
    app = App(url)

    @app.agent("waits")
    async def waits(run: Run, n: int) -> object:
        return await run.receive("go")

    server = Serving(asgi(app, gate=_Open(), worker=True), host="127.0.0.1", port=0)
    address = server.bind()
    up = asyncio.Event()
    running = asyncio.create_task(server.run(up.set))
    await up.wait()
    limits = httpx2.Limits(max_connections=clients + AT_ONCE + 8)
    found: Measured = {}
    async with httpx2.AsyncClient(base_url=address, limits=limits, timeout=60) as http:
        for metric, path in _LOOKS.items():
            found[f"{metric}, p95"] = (_p95([await _timed(http, path) for _ in range(LOOKS)]) * 1e3, "ms")
        await _start(http, "w", waiting)
        found["runs started through the API, others waiting"] = (await _start(http, "s", starts), "1/s")
        gc.collect()
        before = _resident()
        opened = asyncio.Semaphore(0)
        streams = [asyncio.create_task(_hold(http, f"w-{n % waiting}", opened)) for n in range(clients)]
        for _ in streams:
            await opened.acquire()
        found["memory of the streams, both ends"] = (float(_resident() - before), "bytes")
        found["the process with them"] = (float(_resident()), "bytes")
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    server.stop()
    await running
    return found


async def _start(http: httpx2.AsyncClient, name: str, count: int) -> float:
    numbers = iter(range(count))

    async def some() -> None:
        for n in numbers:
            body = {"agent": "waits", "input": n, "run_id": f"{name}-{n}"}
            (await http.post("/api/v1/runs", json=body)).raise_for_status()

    began = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - began)


async def _timed(http: httpx2.AsyncClient, path: str) -> float:
    began = time.perf_counter()
    (await http.get(path)).raise_for_status()
    return time.perf_counter() - began


async def _hold(http: httpx2.AsyncClient, run: str, opened: asyncio.Semaphore) -> None:
    async with http.stream("GET", f"/api/v1/runs/{run}/events") as response:
        first = True
        async for _ in response.aiter_bytes():
            if first:
                opened.release()
                first = False


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[18]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
