"""What a database does to those who share it: deadlocks, serialization failures, ended sessions. Nothing is lost or
doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from perdure.journal import Append, Claim, Kind, verify_chain
from perdure.testing import JournalBuilder
from perdure.testing.conformance._scene import claimed, mail, run_ref
from tests.faults.processes import until
from tests.places import PostgresServer, database_of

pytest.importorskip("psycopg", reason='no psycopg: `pip install "perdure[postgres]"`')

import psycopg

from perdure.db.postgres import PostgresStore
from perdure.db.postgres.batch import BatchWriter

LOCK = "select 1 from perdure.runs where id = %s for update"


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(postgres_url, patience=20)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Somebody else's session."""
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        yield connection


def appended(claim: Claim, payload: bytes) -> Append:
    entry = JournalBuilder.of(claim.run).entry(Kind.RESULT, payload=payload)
    return Append(claim.run.rid, claim.run.epoch, entry.seq - 1, [entry], 1)


async def waits_for_a_lock(postgres: PostgresServer, url: str) -> int:
    """The process of the store's session that waits for a lock, once there is one."""
    waiting = f"datname = '{database_of(url)}' and application_name = 'perdure' and wait_event_type = 'Lock'"
    rows = await until(
        lambda: asyncio.to_thread(postgres.sql, f"select pid from pg_stat_activity where {waiting}"),
        "the store waits for a lock",
    )
    return rows[0][0]


async def written_once(store: PostgresStore, *runs: str) -> None:
    for run in runs:
        entries = await store.read(run_ref(run))
        assert [e.payload for e in entries[1:]] == [b"1"]
        verify_chain(run_ref(run), entries)


async def test_the_victim_of_a_deadlock_writes_again(
    store: PostgresStore, other: psycopg.AsyncConnection, postgres: PostgresServer, postgres_url: str
) -> None:
    claims = [await claimed(store, name) for name in ("r1", "r2")]
    await other.execute("set deadlock_timeout = '1h'")  # so that the store is the one that finds it
    await other.execute(LOCK, ("r2",))

    writing = asyncio.gather(*(store.append(appended(claim, b"1")) for claim in claims))
    await waits_for_a_lock(postgres, postgres_url)  # it has r1, and waits for r2
    await other.execute(LOCK, ("r1",))  # the store gave way, or this would wait for good
    assert not writing.done()
    await other.commit()

    assert await writing == [True, True]
    await written_once(store, "r1", "r2")


async def test_a_serialization_failure_is_tried_again(
    postgres: PostgresServer, other: psycopg.AsyncConnection, postgres_url: str
) -> None:
    name = database_of(postgres_url)
    postgres.sql(f"alter database {name} set default_transaction_isolation = 'serializable'")
    store = PostgresStore(postgres_url, patience=20)
    await store.open()
    claim = await claimed(store)
    await other.execute("update perdure.runs set progress = '1'")

    writing = asyncio.ensure_future(store.append(appended(claim, b"1")))
    posting = store.post(mail("m1"))
    await waits_for_a_lock(postgres, postgres_url)
    await other.commit()

    assert await writing is True
    assert await posting is True
    await written_once(store, "r1")
    assert [m.id for m in await store.inbox(claim.run.rid, after=0)] == ["m1"]
    await store.close()


async def test_a_new_database_is_made_ready_at_any_isolation_level(postgres: PostgresServer) -> None:
    name = postgres.new_database()
    postgres.sql(f"alter database {name} set default_transaction_isolation = 'serializable'")
    stores = [PostgresStore(postgres.url(name)) for _ in range(4)]
    opened = await asyncio.gather(*(s.open() for s in stores), return_exceptions=True)
    await asyncio.gather(*(s.close() for s in stores))
    assert opened == [None] * 4
    postgres.drop_database(name)


@pytest.mark.parametrize("what", ["append", "post"])
async def test_a_session_that_is_ended_in_the_middle_of_a_batch(
    what: str,
    store: PostgresStore,
    other: psycopg.AsyncConnection,
    postgres: PostgresServer,
    postgres_url: str,
) -> None:
    claim = await claimed(store)
    await other.execute(LOCK, ("r1",))
    if what == "append":
        writing = asyncio.ensure_future(store.append(appended(claim, b"1")))
    else:
        writing = asyncio.ensure_future(store.post(mail("m1")))
    for _ in range(2):
        await asyncio.to_thread(
            postgres.sql, f"select pg_terminate_backend({await waits_for_a_lock(postgres, postgres_url)})"
        )
    await waits_for_a_lock(postgres, postgres_url)
    await other.commit()

    assert await writing is True
    if what == "append":
        await written_once(store, "r1")
    else:
        assert [m.id for m in await store.inbox(claim.run.rid, after=0)] == ["m1"]
        record = await store.get(run_ref())
        assert record is not None
        assert record.inbox_seq == 1


async def test_a_transaction_that_idled_too_long_is_made_again(
    store: PostgresStore, postgres: PostgresServer, postgres_url: str
) -> None:
    claim = await claimed(store)
    tries: list[int] = []

    def post_slowly(writer: BatchWriter) -> object:
        tries.append(writer.link.get().info.backend_pid)
        found = writer.post(mail("m1"))
        if len(tries) == 1:
            writer.link.execute("set local idle_in_transaction_session_timeout = '1ms'")
            gone = f"select 1 from pg_stat_activity where pid = {tries[0]}"
            while postgres.sql(gone):
                pass
        return found

    await store._change(post_slowly)  # pyright: ignore[reportPrivateUsage]
    assert len(set(tries)) == 2, "another session, for the first was ended"
    assert [m.id for m in await store.inbox(claim.run.rid, after=0)] == ["m1"]
