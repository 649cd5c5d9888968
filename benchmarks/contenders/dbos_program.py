"""DBOS: an asynchronous workflow of two steps a turn, as its guide shows it.

On SQLite the file is in WAL mode with `synchronous=full`, which is better for DBOS than the rollback journal that it
would use by itself; on PostgreSQL everything is as DBOS sets it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable

import sqlalchemy
from dbos import DBOS, DBOSConfig
from sqlalchemy import event

from ..workload import ANSWER, FOUND, TURNS, Measured, Window, done

__all__ = ["size", "steps"]


def _launch(url: str, window: Window) -> Callable[[int], Awaitable[int]]:
    if url.startswith("sqlite:///"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.execute("pragma journal_mode = wal")
        connection.close()
        event.listen(sqlalchemy.Engine, "connect", lambda c, _: c.execute("pragma synchronous = full"))
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": url,
        "log_level": "ERROR",
        "application_version": "1",
    }
    DBOS(config=config)

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


async def steps(url: str, *, runs: int, seconds: float) -> Measured:
    """So many workflows at once, each followed by another."""
    window = Window(seconds)
    start = _launch(url, window)

    async def task() -> None:
        while True:
            await start(TURNS)

    tasks = [asyncio.create_task(task()) for _ in range(runs)]
    measured = await window.watch()
    for one in tasks:
        if one.done():
            one.result()
    done(measured)


async def size(url: str, *, first: int, runs: int, turns: int) -> None:
    """Run so many workflows, one after the other."""
    start = _launch(url, Window(0))
    for _ in range(first, first + runs):
        await start(turns)
    DBOS.destroy()
