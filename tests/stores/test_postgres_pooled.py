"""The PostgreSQL store behind a transaction pooler: the whole contract, a worker, and news that nobody tells."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from perdure import App, Run
from perdure.journal import Append, Kind, verify_chain
from perdure.testing import JournalBuilder, ManualClock
from perdure.testing.conformance import StoreConformance
from perdure.testing.conformance._scene import begin, claimed, mail, run_ref
from tests.faults.processes import until
from tests.places import PostgresServer

from .pooler import ABSENT, Pooler, program

pytest.importorskip("psycopg", reason='no psycopg: `pip install "perdure[postgres]"`')

from perdure.db.postgres import PostgresStore
from perdure.db.postgres.watcher import DEAF_AFTER, Watcher


@pytest.fixture(scope="session")
def pooler(postgres: PostgresServer) -> Iterator[Pooler]:
    if program() is None:
        pytest.skip(ABSENT)
    with tempfile.TemporaryDirectory(prefix="perdure-pooler-") as folder:
        Path(folder).chmod(0o755)
        made = Pooler(postgres, Path(folder))
        yield made
        made.stop()


@pytest.fixture
def pooled_url(pooler: Pooler, postgres_url: str) -> str:
    return pooler.url(postgres_url)


@pytest.mark.soak
class TestPooled(StoreConformance):
    @pytest.fixture
    async def store(self, clock: ManualClock, pooled_url: str) -> AsyncIterator[PostgresStore]:
        store = PostgresStore(pooled_url, clock=clock)
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def second(
        self, store: PostgresStore, clock: ManualClock, pooled_url: str
    ) -> AsyncIterator[PostgresStore]:
        other = PostgresStore(pooled_url, clock=clock)
        await other.open()
        yield other
        await other.close()


async def test_workers_of_two_processes_behind_it(pooled_url: str) -> None:
    apps = [App(pooled_url), App(pooled_url)]
    for app in apps:

        @app.agent("greeter")
        async def greeter(run: Run, name: str) -> str:
            text = await run.step("greet", lambda: f"hello {name}")
            return f"{text} {await run.receive('word', str)}"

    first, second = apps
    async with first, second:
        handles = [await first.start("greeter", f"n{n}", run_id=f"r{n}") for n in range(12)]
        for handle in handles:
            await second.signal(handle.ref.id, "word", "there")
        for n, handle in enumerate(handles):
            assert await handle.result() == f"hello n{n} there"
            verify_chain(handle.ref, await handle.entries())


async def test_a_pooler_that_dies_loses_nothing(pooled_url: str, pooler: Pooler) -> None:
    store = PostgresStore(pooled_url)
    await store.open()
    claim = await claimed(store)
    journal = JournalBuilder.of(claim.run)
    over, count = asyncio.Event(), 0

    async def write() -> None:
        nonlocal count
        while not over.is_set():
            entry = journal.entry(Kind.RESULT, payload=b"x" * 500)
            await store.append(Append(claim.run.rid, claim.run.epoch, entry.seq - 1, [entry], 1))
            count += 1

    async def grown(by: int) -> None:
        start = count
        await until(lambda: count >= start + by, "more was written")

    writing = asyncio.create_task(write())
    for _ in range(3):
        await grown(20)
        await asyncio.to_thread(pooler.stop)
        await asyncio.to_thread(pooler.start)
    await grown(20)
    over.set()
    await writing
    assert verify_chain(run_ref(), await store.read(run_ref()))[0] == count + 1
    await store.close()


@pytest.mark.parametrize("through", ["pooler", "nothing"])
async def test_a_watcher_notices_that_it_is_deaf(
    through: str, postgres_url: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("pooled_url") if through == "pooler" else postgres_url
    told = threading.Semaphore(0)
    watcher = Watcher(url, "nobody", told.release)
    watcher.start()
    store = PostgresStore(url)
    await store.open()
    await store.create(begin())
    assert await asyncio.to_thread(told.acquire, timeout=30)
    for n in range(DEAF_AFTER + 2):
        await store.post(mail(f"m{n}"))
        assert await asyncio.to_thread(told.acquire, timeout=30), "news is found although it is not told"
    assert watcher.deaf is (through == "pooler")
    watcher.stop()
    await store.close()
