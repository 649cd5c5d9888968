"""What a run weighs in the store: bytes at 20 turns and at 200, against the raw rows and against others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from .measure import apart
from .steps import workload_app
from .workload import Measured

__all__ = ["perdure_runs", "sizes", "stored_bytes"]

LONG = 200
SHORT = 20


def stored_bytes(url: str) -> int:
    """The size of a SQLite file once its log has been written back, or of all tables of a PostgreSQL database."""
    if url.startswith("sqlite:///"):
        import apsw

        path = Path(url.removeprefix("sqlite:///"))
        if not path.exists():
            return 0
        connection = apsw.Connection(str(path))
        connection.execute("pragma wal_checkpoint(truncate)").fetchall()
        connection.close()
        return path.stat().st_size
    import psycopg

    with psycopg.connect(url, autocommit=True) as link:
        row = link.execute(
            "select coalesce(sum(pg_total_relation_size(c.oid)), 0) from pg_class c "
            "join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'm') "
            "and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')"
        ).fetchone()
        assert row is not None
        return int(row[0])


async def perdure_runs(url: str, *, first: int, runs: int, turns: int) -> None:
    """So many runs of so many turns, every step on disk."""
    app, workload, _ = workload_app(url, "step", turns=turns)
    async with app:
        handles = await asyncio.gather(*(app.start(workload, run_id=f"run-{first + n}") for n in range(runs)))
        await asyncio.gather(*(handle.result() for handle in handles))


def sizes(url: str, *, writer: str, python: str | None, runs: int, **arguments: Any) -> Measured:
    """Let `writer` write 20-turn runs, then 200-turn ones, each into a store of its own; the bytes of a run."""
    found: list[float] = []
    for turns in (SHORT, LONG):
        where = _beside(url, turns)
        options: dict[str, Any] = {**arguments, "url": where, "turns": turns}
        if python is not None:
            options["interpreter"] = python
        apart(writer, first=0, runs=1, **options)  # tables and their first pages are not the runs'
        before = stored_bytes(where)
        apart(writer, first=1, runs=runs, **options)
        found.append((stored_bytes(where) - before) / runs)
    short, long = found
    return {
        f"bytes at {SHORT} turns": (short, "bytes"),
        f"bytes at {LONG} turns": (long, "bytes"),
        "growth": (long / short, "ratio"),
    }


def _beside(url: str, number: int) -> str:
    """Another empty store beside this one; it goes with the folder or the server."""
    if url.startswith("sqlite:///"):
        return f"{url}-{number}"
    import psycopg

    base, _, rest = url.partition("?")
    server, _, name = base.rpartition("/")
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(f"create database {name}_{number}".encode())
    return f"{server}/{name}_{number}" + (f"?{rest}" if rest else "")
