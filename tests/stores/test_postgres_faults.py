"""The PostgreSQL store when answers are lost, the server dies, rows are bad, and others claim at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from perdure import App, Run, StoreError, StoreTooNew, StoreUnavailable
from perdure.core.clock import SystemClock
from perdure.core.errors import Superseded
from perdure.journal import Append, Claim, Kind, RunStatus, Session, verify_chain
from perdure.testing import JournalBuilder
from perdure.testing.conformance._scene import (
    AGENTS,
    begin,
    claimed,
    enter,
    mail,
    record_of,
    release,
    run_ref,
)
from tests.places import PostgresServer, database_of

from .proxy import Proxy

pytest.importorskip("psycopg", reason='no psycopg: `pip install "perdure[postgres]"`')

from perdure.db.postgres import PostgresStore, batch
from perdure.db.postgres.connection import Patience

APPEND, COMMIT = b"insert into perdure.entries", b"commit"


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(postgres_url)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[Proxy]:
    proxy = Proxy(postgres.address)
    yield proxy
    proxy.close()


@pytest.fixture
async def behind(proxy: Proxy, postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A store whose connections pass through the proxy."""
    store = PostgresStore(proxy.url(database_of(postgres_url)))
    await store.open()
    yield store
    await store.close()


def appended(claim: Claim, *payloads: bytes) -> list[Append]:
    """Appends of one entry each, one after the other."""
    journal = JournalBuilder.of(claim.run)
    found: list[Append] = []
    for payload in payloads:
        entry = journal.entry(Kind.RESULT, payload=payload)
        found.append(Append(claim.run.rid, claim.run.epoch, entry.seq - 1, [entry], 1))
    return found


@pytest.mark.parametrize("answer", [True, False], ids=["answer lost", "request lost"])
async def test_an_append_whose_commit_is_in_doubt_is_written_once(
    behind: PostgresStore, proxy: Proxy, answer: bool
) -> None:
    claims = [await claimed(behind, name) for name in ("r1", "r2")]
    proxy.lose(APPEND, answer=answer)

    written = await asyncio.gather(*(behind.append(a) for c in claims for a in appended(c, b"1", b"2")))

    assert proxy.lost.is_set()
    assert written == [True] * 4
    for claim in claims:
        entries = await behind.read(claim.run.ref)
        assert [e.payload for e in entries[1:]] == [b"1", b"2"]
        verify_chain(claim.run.ref, entries)


@pytest.mark.parametrize("answer", [True, False], ids=["answer lost", "request lost"])
async def test_a_transaction_whose_commit_is_in_doubt_happens_once(
    behind: PostgresStore, proxy: Proxy, answer: bool
) -> None:
    claim = await claimed(behind)
    proxy.lose(COMMIT, answer=answer)
    assert await behind.post(mail("m1")) is True
    assert proxy.lost.is_set()
    assert [m.id for m in await behind.inbox(claim.run.rid, after=0)] == ["m1"]

    proxy.lose(COMMIT, answer=answer)
    assert await release(behind, claim.run, RunStatus.WAITING, drained=1) is True
    assert proxy.lost.is_set()
    assert (await record_of(behind)).head == 2

    proxy.lose(COMMIT, answer=answer)
    claims = await behind.claim("w1", AGENTS, limit=1, only=run_ref())
    assert proxy.lost.is_set()
    assert [c.run.epoch for c in claims] == [2]


async def test_one_that_was_superseded_meanwhile_is_refused(
    behind: PostgresStore, proxy: Proxy, store: PostgresStore
) -> None:
    claim = await claimed(behind)
    assert await store.seize(run_ref()) is not None
    proxy.lose(APPEND, answer=True)
    with pytest.raises(Superseded):
        await behind.append(appended(claim, b"1")[0])
    assert len(await store.read(run_ref())) == 1


async def test_connections_that_were_ended_are_made_anew(
    store: PostgresStore, postgres: PostgresServer, postgres_url: str
) -> None:
    claim = await claimed(store)
    other = PostgresStore(postgres_url)
    await other.open()
    database = database_of(postgres_url)

    postgres.sql(
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'", "postgres"
    )

    assert await store.append(appended(claim, b"1")[0]) is True
    assert len(await store.read(run_ref())) == 2
    seen = store.changes()
    await other.create(begin("r2"))
    async with asyncio.timeout(20):
        await store.changed(seen, within=3600)
    await other.close()


async def test_a_crash_of_the_server_loses_nothing_acknowledged(
    store: PostgresStore, postgres: PostgresServer
) -> None:
    claims = [await claimed(store, f"r{n}") for n in range(8)]
    acknowledged = {claim.run.ref: 0 for claim in claims}
    over, grew = asyncio.Event(), asyncio.Event()

    async def write(claim: Claim) -> None:
        journal = JournalBuilder.of(claim.run)
        while not over.is_set():
            entry = journal.entry(Kind.RESULT, payload=b"x" * 1000)
            await store.append(Append(claim.run.rid, claim.run.epoch, entry.seq - 1, [entry], 1))
            acknowledged[claim.run.ref] = entry.seq
            grew.set()

    async def grown(by: int) -> None:
        start = dict(acknowledged)
        while any(acknowledged[ref] < seq + by for ref, seq in start.items()):
            grew.clear()
            await grew.wait()

    writers = [asyncio.create_task(write(claim)) for claim in claims]
    await grown(20)
    await asyncio.to_thread(postgres.crash)
    await asyncio.to_thread(postgres.start)
    await grown(20)
    over.set()
    await asyncio.gather(*writers)

    for ref, seq in acknowledged.items():
        assert verify_chain(ref, await store.read(ref))[0] == seq


async def test_a_server_that_stays_away_is_said_and_come_back_to(
    postgres: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    store = PostgresStore(postgres_url, patience=0.2)
    await store.open()
    claim = await claimed(store)
    append = appended(claim, b"1")[0]
    await asyncio.to_thread(postgres.crash)
    try:
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await store.append(append)
        # What is queued behind it, renewals too, is not to wait as long again, a batch after the other.
        monkeypatch.setattr(batch, "Patience", lambda seconds: given.append(seconds) or Patience(0))
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await store.append(append)
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await store.get(run_ref())
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await PostgresStore(postgres_url).open()
    finally:
        await asyncio.to_thread(postgres.start)
    assert given == [0]
    assert await store.append(append) is True
    assert await store.post(mail()) is True
    assert given == [0, 0, 0.2]
    await store.close()


async def test_a_bad_row_hurts_no_other(store: PostgresStore) -> None:
    claims = [await claimed(store, f"r{n}") for n in range(9)]
    appends = [appended(claim, b"1")[0] for claim in claims]
    appends[3].entries = [appends[3].entries[0]._replace(key="nul\0")]
    appends[7].entries = [appends[7].entries[0]._replace(actor="\ud800")]

    outcomes = await asyncio.gather(*(store.append(a) for a in appends), return_exceptions=True)

    assert [type(o) for o in outcomes] == [StoreError if n in (3, 7) else bool for n in range(9)]
    heads = [(await record_of(store, f"r{n}")).head for n in range(9)]
    assert heads == [1 if n in (3, 7) else 2 for n in range(9)]


async def test_two_stores_claim_each_run_once(store: PostgresStore, postgres_url: str) -> None:
    other = PostgresStore(postgres_url)
    await other.open()
    await asyncio.gather(*(store.create(begin(f"r{n}")) for n in range(120)))

    async def work(on: PostgresStore, session: str) -> list[str]:
        await enter(on, session)
        found: list[str] = []
        while claims := await on.claim(session, AGENTS, limit=3):
            assert {c.run.session for c in claims} == {session}
            found += [c.run.ref.id for c in claims]
        return found

    shares = await asyncio.gather(*(work(s, f"w{n}") for n, s in enumerate([store, other] * 2)))

    assert sorted(run for share in shares for run in share) == sorted(f"r{n}" for n in range(120))
    await other.close()


async def test_a_lease_runs_by_the_clock_of_the_database(store: PostgresStore) -> None:
    claim = await claimed(store)
    assert abs(store.now() - SystemClock().micros()) < 1_000_000  # one machine
    assert abs(claim.run.updated_at - store.now()) < 5_000_000
    assert await store.recover() == 0
    await store.register(Session(id="w1", lease=0))
    assert await store.recover() == 1


async def test_a_new_database_is_made_ready_by_whoever_comes_first(postgres: PostgresServer) -> None:
    url = postgres.url(postgres.new_database())
    stores = [PostgresStore(url) for _ in range(4)]
    await asyncio.gather(*(s.open() for s in stores))
    await asyncio.gather(*(s.close() for s in stores))


async def test_a_later_schema_is_refused(postgres: PostgresServer, postgres_url: str) -> None:
    database = database_of(postgres_url)
    postgres.sql("update perdure.schema set version = 999", database)
    with pytest.raises(StoreTooNew, match=r"schema version 999, this release knows \d+.*upgrade"):
        await PostgresStore(postgres_url).open()


async def test_an_app_works_on_it(postgres_url: str) -> None:
    app = App(postgres_url)

    @app.agent("greeter")
    async def greeter(run: Run, name: str) -> str:
        await run.sleep(1.2)
        text = await run.step("greet", lambda: f"hello {name}")
        return f"{text} {(await run.ask('Send it?', show=text)).approved}"

    async with app:
        handle = await app.start(greeter, "Ada", run_id="r1")
        seen = app.store.changes()
        while not await app.store.approvals():
            await app.store.changed(seen, within=1)
            seen = app.store.changes()
        await app.answer("r1", "ask", approved=True, by="ada")
        assert await handle.result() == "hello Ada True"
        verify_chain(handle.ref, await handle.entries())
