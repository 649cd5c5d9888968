"""Claims in a store that is full of finished and waiting runs, and the plans of what a worker asks all the time.

A million runs are not driven to their ends here: one of each kind is, and its rows are copied. Those that are claimed
are real.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from perdure import App, Run, RunStatus
from perdure.journal import Serves, Session

from .measure import apart
from .workload import done

__all__ = ["claims", "copied", "fill", "plans", "rate", "short_runs"]

BATCH = 64
"""Claimed at once, as a worker with that much room does."""


def _app(url: str) -> tuple[App, Any, Any]:
    app = App(url)

    @app.agent("echo")
    async def echo(run: Run) -> int:
        return 1

    @app.agent("waits")
    async def waits(run: Run) -> object:
        return await run.receive("go")

    return app, echo, waits


async def _claim(app: App, session: str) -> int:
    serves = [Serves(agent, version) for agent, version in app.agents]
    return len(await app.store.claim(session, serves, limit=BATCH))


# filling -------------------------------------------------------------------------------------------------------


async def fill(url: str, *, finished: int, waiting: int) -> bool:
    """So many finished and so many waiting runs, copied from one of each."""
    app, echo, waits = _app(url)
    async with app:
        await (await app.start(echo, run_id="echo")).result()
        handle = await app.start(waits, run_id="waits")
        while await handle.status() is not RunStatus.WAITING:
            await app.store.changed(app.store.changes(), within=0.2)
    copied(url, {"echo": finished, "waits": waiting})
    return True


def copied(url: str, counts: dict[str, int]) -> None:
    """Copy the rows of runs, by id, so often: their journals, and the figures that are kept of them, go along."""
    copy = _copy_sqlite if url.startswith("sqlite:") else _copy_postgres
    copy(url, counts)


def _copy_sqlite(url: str, counts: dict[str, int]) -> None:
    import apsw

    c = apsw.Connection(url.removeprefix("sqlite:///"))
    c.execute("pragma synchronous = off")
    runs = [name for (_, name, *_) in c.execute("pragma table_info(runs)") if name not in ("rid", "id")]
    entries = [name for (_, name, *_) in c.execute("pragma table_info(entries)") if name not in ("n", "rid")]
    figures = [name for (_, name, *_) in c.execute("pragma table_info(run_figures)") if name != "rid"]
    for of, count in counts.items():
        first = c.execute("select max(rid) from runs").fetchone()[0]  # pyright: ignore
        numbers = "with recursive g(i) as (select 1 union all select i + 1 from g where i < ?1)"
        c.execute("begin")
        c.execute(
            f"{numbers} insert into runs (rid, id, {', '.join(runs)}) "
            f"select ?2 + i, 'copy-of-' || ?3 || '-' || i, {', '.join(f't.{name}' for name in runs)} "
            "from g, (select * from runs where id = ?3) t",
            (count, first, of),
        )
        c.execute(
            f"{numbers} insert into entries (rid, {', '.join(entries)}) "
            f"select ?2 + i, {', '.join(f't.{name}' for name in entries)} "
            "from g, (select * from entries where rid = (select rid from runs where id = ?3)) t",
            (count, first, of),
        )
        c.execute(
            f"{numbers} insert into run_figures (rid, {', '.join(figures)}) "
            f"select ?2 + i, {', '.join(f't.{name}' for name in figures)} "
            "from g, (select * from run_figures where rid = (select rid from runs where id = ?3)) t",
            (count, first, of),
        )
        c.execute("commit")
    c.execute("pragma wal_checkpoint(truncate)").fetchall()
    c.close()


def _copy_postgres(url: str, counts: dict[str, int]) -> None:
    import psycopg

    columns = "select column_name from information_schema.columns where table_schema = 'perdure' and table_name = %s"
    with psycopg.connect(url, autocommit=True) as c:
        runs = [name for (name,) in c.execute(columns, ("runs",)) if name not in ("rid", "id")]
        entries = [name for (name,) in c.execute(columns, ("entries",)) if name != "rid"]
        figures = [name for (name,) in c.execute(columns, ("run_figures",)) if name != "rid"]
        for of, count in counts.items():
            c.execute(
                f"insert into perdure.runs (id, {', '.join(runs)}) "
                f"select 'copy-of-' || t.id || '-' || i, {', '.join(f't.{name}' for name in runs)} "
                f"from perdure.runs t, generate_series(1, {count}) i where t.id = '{of}'".encode()
            )
            c.execute(
                f"insert into perdure.entries (rid, {', '.join(entries)}) "
                f"select r.rid, {', '.join(f't.{name}' for name in entries)} "
                f"from perdure.runs r, perdure.entries t where r.id like 'copy-of-{of}-%' "
                f"and t.rid = (select rid from perdure.runs where id = '{of}')".encode()
            )
            c.execute(
                f"insert into perdure.run_figures (rid, {', '.join(figures)}) "
                f"select r.rid, {', '.join(f't.{name}' for name in figures)} "
                f"from perdure.runs r, perdure.run_figures t where r.id like 'copy-of-{of}-%' "
                f"and t.rid = (select rid from perdure.runs where id = '{of}')".encode()
            )
        c.execute("vacuum analyze")  # as autovacuum does in time


# measuring -----------------------------------------------------------------------------------------------------


async def rate(url: str, *, due: int, tenants: int = 1) -> dict[str, float]:
    """So many runs that are due, claimed batch by batch: claims a second, and the slowest batch."""
    app, echo, _ = _app(url)
    await app.open()
    for at in range(0, due, 1000):
        batch = range(at, min(at + 1000, due))
        await asyncio.gather(*(app.start(echo, tenant=f"tenant-{n % tenants}") for n in batch))
    session = Session(id="w-bench", lease=600_000_000)
    await app.store.register(session)
    times: list[float] = []
    claimed = 0
    while claimed < due:
        began = time.perf_counter()
        got = await _claim(app, session.id)
        times.append(time.perf_counter() - began)
        if not got:
            raise RuntimeError(f"{claimed} of {due} due runs were claimed, then no more")
        claimed += got
    done({"rate": (claimed / sum(times), "1/s"), "slowest": (max(times) * 1e3, "ms")})


async def short_runs(url: str, *, seconds: float) -> dict[str, float]:
    """Runs without a step, 64 at once: accepted, claimed, begun and ended, a second."""
    app, echo, _ = _app(url)
    ended = 0

    async def task() -> None:
        nonlocal ended
        while True:
            await (await app.start(echo)).result()
            ended += 1

    async with app:
        tasks = [asyncio.create_task(task()) for _ in range(64)]
        await asyncio.sleep(min(1.0, seconds))
        before, began = ended, time.perf_counter()
        await asyncio.sleep(seconds)
        rate = (ended - before) / (time.perf_counter() - began)
        for one in tasks:
            if one.done():
                one.result()
        done({"rate": (rate, "1/s")})


async def plans(url: str) -> dict[str, str]:
    """The plans of the statements with which a worker claims, looks for the next due run, and recovers lost ones."""
    asked = _watch_sqlite() if url.startswith("sqlite:") else _watch_postgres()
    app, echo, _ = _app(url)
    await app.open()
    await asyncio.gather(*(app.start(echo) for _ in range(BATCH)))
    session = Session(id="w-plans", lease=600_000_000)
    await app.store.register(session)
    asked.clear()
    await _claim(app, session.id)
    await app.store.next_timer()
    await app.store.demands()
    await app.store.stirred(session.id)
    await app.store.recover()
    await app.close()
    return _explained(url, asked)


def _watch_sqlite() -> dict[str, Any]:
    """Every statement of every connection that is made from now on, with its values."""
    import apsw

    asked: dict[str, Any] = {}

    def hook(connection: Any) -> None:
        def trace(_: Any, sql: str, values: Any) -> bool:
            asked.setdefault(" ".join(sql.split()), values)
            return True

        connection.exec_trace = trace

    apsw.connection_hooks.append(hook)
    return asked


def _watch_postgres() -> dict[str, Any]:
    import psycopg

    asked: dict[str, Any] = {}
    execute = psycopg.Connection.execute

    def watched(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        text = query.decode() if isinstance(query, bytes) else str(query)
        asked.setdefault(" ".join(text.split()), params)
        return execute(self, query, params, **options)

    psycopg.Connection.execute = watched  # pyright: ignore
    return asked


def _explained(url: str, asked: dict[str, Any]) -> dict[str, str]:
    told: dict[str, str] = {}
    if url.startswith("sqlite:"):
        import apsw

        apsw.connection_hooks.clear()
        c = apsw.Connection(url.removeprefix("sqlite:///"))
        for sql, values in asked.items():
            if "runs" in sql and sql.split()[0] in ("select", "update", "with"):
                rows = c.execute(f"explain query plan {sql}", values).fetchall()
                told[sql] = "\n".join(str(row[3]) for row in rows)
        return told
    import psycopg

    from perdure.db.postgres import arrays

    with psycopg.connect(url, autocommit=True) as link:
        arrays.register(link)
        for sql, values in list(asked.items()):
            if "runs" in sql and sql.split()[0] in ("select", "update", "with"):
                rows = link.execute(f"explain {sql}".encode(), values).fetchall()
                told[sql] = "\n".join(str(row[0]) for row in rows)
    return told


def claims(url: str, *, finished: int, waiting: int, due: int, seconds: float) -> dict[str, Any]:
    """First in an empty store, then in a full one."""
    measured: dict[str, Any] = {}
    empty = apart("claims:rate", url=url, due=due)
    measured["claims, empty store"] = empty["rate"]
    apart("claims:fill", url=url, finished=finished, waiting=waiting, timeout=1800)
    full = apart("claims:rate", url=url, due=due)
    measured["claims"] = full["rate"]
    measured["slowest batch of 64"] = full["slowest"]
    many = apart("claims:rate", url=url, due=due, tenants=1_000)
    measured["claims, of 1,000 tenants"] = many["rate"]
    measured["of the empty store"] = (full["rate"][0] / empty["rate"][0], "ratio")
    measured["runs without a step"] = apart("claims:short_runs", url=url, seconds=seconds)["rate"]
    measured["_plans"] = apart("claims:plans", url=url)
    return measured
