"""Collecting blobs while another store object writes them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from perdure import open_store, verify_chain
from perdure.core.ids import RunRef
from perdure.journal import Append, Change, Kind, NewRun, RunStatus, Serves, Session, Store
from perdure.testing import JournalBuilder

LARGE = [bytes([n]) * 40_000 for n in range(3)]
OLD = 5_000
"""Microseconds after which a blob that nobody names is collected here; a transaction takes less than an hour, too."""


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/p.db"
    server: Any = request.getfixturevalue("postgres")
    return server.url(server.new_database(request.getfixturevalue("postgres_template")))


async def one_run(store: Store, n: int, *, keep: bool) -> None:
    """A run with a large payload that many others have had; it is pruned unless it is to be kept."""
    ref = RunRef("default", f"r{n}")
    first = JournalBuilder(ref).entry(Kind.STARTED, payload=b"{}")
    await store.create(NewRun(ref=ref, agent="a", version="1", entries=[first]))
    (claim,) = await store.claim("w", [Serves("a", "1")], limit=1, only=ref)
    builder = JournalBuilder.of(claim.run)
    await store.append(builder.append(LARGE[n % 3]))
    end = builder.entry(Kind.ENDED, payload=b"{}")
    change = Change(status=RunStatus.SUCCEEDED)
    await store.append(Append(claim.run.rid, claim.run.epoch, end.seq - 1, [end], change=change))
    if not keep:
        await store.prune(ref)


async def test_nothing_that_an_entry_names_is_collected(url: str) -> None:
    writer, collector = open_store(url), open_store(url)
    await writer.open()
    await collector.open()
    over = asyncio.Event()
    collected = 0

    async def collect() -> None:
        nonlocal collected
        while not over.is_set():
            collected += await collector.collect(before=collector.now() - OLD, limit=2)

    task = asyncio.create_task(collect())
    try:
        await writer.register(Session(id="w", lease=60_000_000))
        for n in range(120):
            await one_run(writer, n, keep=n % 40 == 39)
            for kept in range(39, n + 1, 40):
                entries = await writer.read(RunRef("default", f"r{kept}"))
                verify_chain(RunRef("default", f"r{kept}"), entries, whole=True)
                assert entries[1].payload == LARGE[kept % 3]
    finally:
        over.set()
        await task
        await writer.close()
        await collector.close()
    assert collected > 3


async def test_a_blob_that_another_transaction_touches_stays(url: str) -> None:
    if url.startswith("sqlite"):
        pytest.skip("one transaction at a time")
    import psycopg

    from perdure.db.postgres import queries

    store = open_store(url)
    await store.open()
    try:
        await store.register(Session(id="w", lease=60_000_000))
        await one_run(store, 0, keep=False)
        with psycopg.connect(url) as other:
            blob = other.execute("select tenant, address, data from perdure.blobs").fetchone()
            assert blob is not None
            other.rollback()
            before = store.now() + 1_000_000
            values = dict(zip(("tenant", "address", "data"), blob, strict=True)) | {"now": before + 1}
            other.execute(queries.ADD_BLOB.encode(), values)  # as a writer does that is about to name it
            assert await store.collect(before=before) == 0  # it is not waited for
            other.commit()
        assert await store.collect(before=before) == 0
        assert await store.collect(before=before + 2) == 1
    finally:
        await store.close()
