"""DBOS: a workflow of two steps a turn, as its guide shows it: asynchronous, and in threads.

On SQLite the file is in WAL mode with `synchronous=full`, which is better for DBOS than the rollback journal that it
would use by itself; on PostgreSQL everything is as DBOS sets it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import sqlalchemy
from dbos import DBOS
from sqlalchemy import event

from ..workload import ANSWER, FOUND, TURNS, Window, done, measure_tasks

__all__ = ["configure", "size", "steps", "steps_in_threads"]


def configure(url: str, **more: Any) -> None:
    """DBOS on this store."""
    if url.startswith("sqlite:///"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.execute("pragma journal_mode = wal")
        connection.close()
        event.listen(sqlalchemy.Engine, "connect", lambda c, _: c.execute("pragma synchronous = full"))
    config: Any = {
        "name": "bench",
        "system_database_url": url,
        "log_level": "ERROR",
        "application_version": "1",
        **more,
    }
    DBOS(config=config)


def _launch(url: str, window: Window) -> Callable[[int], Awaitable[int]]:
    configure(url)

    @DBOS.step()
    async def think(turn: int) -> str:
        return ANSWER

    @DBOS.step()
    async def look(turn: int) -> str:
        return FOUND

    @DBOS.workflow()
    async def workload(turns: int) -> int:
        for turn in range(turns):
            await think(turn)
            window.step()
            await look(turn)
            window.step()
        return turns

    DBOS.launch()

    async def start(turns: int) -> int:
        handle = await DBOS.start_workflow_async(workload, turns)
        return await handle.get_result()

    return start


async def steps(url: str, *, runs: int, seconds: float) -> NoReturn:
    """So many workflows at once, each followed by another."""
    window = Window(seconds, runs=runs)
    start = _launch(url, window)

    async def once() -> None:
        await start(TURNS)

    await measure_tasks(window, once, runs=runs)


async def steps_in_threads(url: str, *, runs: int, seconds: float) -> NoReturn:
    """The same with functions that are not asynchronous: a thread a workflow."""
    window = Window(seconds, runs=runs)
    lock = threading.Lock()
    configure(url, max_executor_threads=runs + 8)

    def count() -> None:
        with lock:
            window.step()

    @DBOS.step()
    def think(turn: int) -> str:
        return ANSWER

    @DBOS.step()
    def look(turn: int) -> str:
        return FOUND

    @DBOS.workflow()
    def workload(turns: int) -> int:
        for turn in range(turns):
            think(turn)
            count()
            look(turn)
            count()
        return turns

    DBOS.launch()

    def task() -> None:
        while True:
            DBOS.start_workflow(workload, TURNS).get_result()

    for _ in range(runs):
        threading.Thread(target=task, daemon=True).start()
    done(await window.watch())


async def size(url: str, *, first: int, runs: int, turns: int) -> None:
    """Run so many workflows, one after the other."""
    start = _launch(url, Window(0))
    for _ in range(first, first + runs):
        await start(turns)
    DBOS.destroy()
