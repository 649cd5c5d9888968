"""The journal: bytes as they were written, appends fenced, news told."""

from __future__ import annotations

import asyncio

import pytest

from ...core.errors import StoreUnavailable, Superseded
from ...journal.entry import Entry, Kind, verify_chain
from ...journal.state import RunStatus
from ...journal.store import Append, Change, Store
from ..clocks import ManualClock
from ..journals import JournalBuilder
from ._scene import AGENTS, Scene, begin, claimed, enter, mail, record_of, run_ref, started

__all__ = ["JournalConformance"]

AWKWARD = [
    b"",
    b"\x00",
    b"a\x00b",
    bytes(range(256)),
    b"\xff\xfe",
    "\udce9é😀".encode(errors="surrogatepass"),
    b"'\"\\",
]
"""Payloads that a store which takes them for text gets wrong."""


@pytest.mark.asyncio
class JournalConformance(Scene):
    """Entries come back as they were written; appends are fenced by epoch and head."""

    # what is read ----------------------------------------------------------------------------------------------

    async def test_entries_come_back_as_they_were_written(self, store: Store) -> None:
        """Every field of an entry, whatever the bytes of payload, salt and fingerprint; and the hashes as given."""
        claim = await claimed(store)
        journal = JournalBuilder.of(claim.run)
        written = [
            journal.entry(
                Kind.RESULT,
                f"größe:{i}/a b",
                payload,
                at=1_767_225_600_000_000 + i,
                took=2**53 + i,
                actor="worker:é",
                fingerprint=bytes([0, 255, i]) * 5 + b"\x00",
            )
            for i, payload in enumerate(AWKWARD)
        ]
        odd = journal.entry(Kind.VALUE)._replace(fingerprint=b"", hash=b"\x00" * 32, actor="", codec=0)

        assert await store.append(Append(claim.run.rid, claim.run.epoch, 1, [*written, odd]))

        read = await store.read(claim.run.ref, after=1)
        assert read == [*written, odd]
        assert all(isinstance(e, Entry) and type(e.payload) is type(e.hash) is bytes for e in read)
        record = await record_of(store)
        assert (record.head, record.head_hash) == (odd.seq, odd.hash)

    async def test_a_journal_verifies_after_reading(self, store: Store) -> None:
        """A chain that was right when written is right when read, and ends in the run's head."""
        claim = await claimed(store)
        journal = JournalBuilder.of(claim.run)
        for i in range(5):
            assert await store.append(journal.append(f"{i}".encode(), b"more"))

        record = await record_of(store)

        entries = await store.read(claim.run.ref)
        assert verify_chain(claim.run.ref, entries) == (11, record.head_hash)
        assert record.head == 11

    async def test_read_after_and_limit(self, store: Store) -> None:
        """`after` excludes what was seen, `limit` bounds the answer, both in order of `seq`."""
        claim = await claimed(store)
        await store.append(JournalBuilder.of(claim.run).append(*[b"p"] * 9))
        ref = claim.run.ref

        async def seqs(after: int, limit: int | None) -> list[int]:
            return [e.seq for e in await store.read(ref, after=after, limit=limit)]

        assert await seqs(0, None) == list(range(1, 11))
        assert await seqs(4, 3) == [5, 6, 7]
        assert await seqs(9, 3) == [10]
        assert await seqs(10, None) == []
        assert await seqs(0, 1) == [1]

    async def test_a_big_payload_in_two_runs(self, store: Store) -> None:
        """5 MB come back whole: twice in one run, in another run, in another tenant, as a first entry, in a claim."""
        big = bytes(range(256)) * 20_480
        for name, tenant in (("r1", "default"), ("r2", "default"), ("r1", "acme")):
            claim = await claimed(store, name, tenant=tenant)
            journal = JournalBuilder.of(claim.run)
            assert await store.append(journal.append(big, b"small", big))
            assert await store.append(journal.append(big, change=Change(progress="{}")))
            read = await store.read(claim.run.ref, after=1)
            assert [e.payload for e in read] == [big, b"small", big, big], f"{tenant}:{name}"
            assert verify_chain(claim.run.ref, await store.read(claim.run.ref))[0] == 5

        first, _ = await store.create(begin("r3", payload=big))
        assert [e.payload for e in await store.read(first.ref)] == [big]
        claim = await claimed(store, "r3")
        assert [e.payload for e in claim.entries] == [big]

    async def test_many_entries_in_one_append(self, store: Store) -> None:
        """An append has no bound on its entries that a caller would meet."""
        claim = await claimed(store)

        assert await store.append(JournalBuilder.of(claim.run).append(*[b"x" * 100] * 3000))

        entries = await store.read(claim.run.ref)
        assert [e.seq for e in entries] == list(range(1, 3002))
        assert (await record_of(store)).results == 3000

    # what is written -------------------------------------------------------------------------------------------

    async def test_an_append_moves_the_run(self, store: Store, clock: ManualClock) -> None:
        """Head, head hash, results and `updated_at` move with the entries; nothing else does."""
        claim = await claimed(store)
        clock.advance(3)
        journal = JournalBuilder.of(claim.run)
        journal_entry = journal.entry(Kind.INTENT, "pay:1")
        assert await store.append(Append(claim.run.rid, claim.run.epoch, 1, [journal_entry]))
        record = await record_of(store)
        assert (record.head, record.head_hash, record.results) == (2, journal_entry.hash, 0)
        assert record.updated_at == clock.micros()
        assert (record.status, record.session, record.epoch) == (claim.run.status, "w1", claim.run.epoch)

        assert await store.append(journal.append(b"1", b"2"))

        assert (await record_of(store)).results == 2

    async def test_appends_of_a_run_keep_the_order_of_the_calls(self, store: Store) -> None:
        """Many appends of several runs, queued in one turn without waiting, all arrive in order."""
        claims = [await claimed(store, f"r{i}") for i in range(4)]
        journals = [JournalBuilder.of(claim.run) for claim in claims]
        done: list[tuple[int, int]] = []

        futures: list[asyncio.Future[bool]] = []
        for i in range(25):
            for j, journal in enumerate(journals):
                future = store.append(
                    journal.append(
                        f"{j}.{i}".encode(), change=Change(progress=str(i)) if i % 5 == 4 else None
                    )
                )
                future.add_done_callback(lambda _, at=(j, i): done.append(at))
                futures.append(future)

        assert await asyncio.gather(*futures) == [True] * 100
        for j, claim in enumerate(claims):
            entries = await store.read(claim.run.ref, after=1)
            assert [e.payload for e in entries] == [f"{j}.{i}".encode() for i in range(25)]
            assert [i for of, i in done if of == j] == list(range(25))
            record = await record_of(store, f"r{j}")
            assert (record.head, record.results, record.progress) == (26, 25, "24")

    async def test_an_append_cannot_be_called_back(self, store: Store) -> None:
        """A caller that is cancelled while it waits stops nobody: its append and those behind it are written."""
        claim = await claimed(store)
        journal = JournalBuilder.of(claim.run)
        left = store.append(journal.append(b"left"))
        kept = store.append(journal.append(b"kept"))

        assert not left.cancel()

        assert await kept
        assert left.done()
        assert await left
        assert [e.payload for e in await store.read(claim.run.ref, after=1)] == [b"left", b"kept"]

    async def test_close_writes_what_is_queued(self, store: Store, second: Store | None) -> None:
        """Appends that nobody waited for are written by `close`; then appends are refused; closing twice is fine."""
        claim = await claimed(store)
        journal = JournalBuilder.of(claim.run)
        futures = [store.append(journal.append(f"{i}".encode())) for i in range(50)]

        await store.close()
        await store.close()

        assert await asyncio.gather(*futures) == [True] * 50
        with pytest.raises(StoreUnavailable):
            await store.append(journal.append(b"too late"))
        await store.open()
        for reader in filter(None, (store, second)):
            entries = await reader.read(claim.run.ref, after=1)
            assert [e.payload for e in entries] == [f"{i}".encode() for i in range(50)]

    # the fence -------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(("epoch", "head"), [(-1, 0), (1, 0), (0, -1), (0, 1)])
    @pytest.mark.parametrize("changes", [False, True])
    async def test_a_stale_append_is_refused(
        self, store: Store, epoch: int, head: int, changes: bool
    ) -> None:
        """Another epoch or another head, lower or higher, with or without a change: nothing is written."""
        await claimed(store)
        again = await store.seize(run_ref())
        assert again is not None
        journal = JournalBuilder.of(again.run)
        assert await store.append(journal.append(b"1", b"2"))
        before = await record_of(store)
        stale = journal.append(
            b"no", change=Change(progress="{}", posts=[mail(to="r2")]) if changes else None
        )
        stale.epoch += epoch
        stale.head += head
        await started(store, "r2")

        with pytest.raises(Superseded):
            await store.append(stale)

        assert await record_of(store) == before
        assert (await record_of(store, "r2")).inbox_seq == 0
        assert len(await store.read(before.ref)) == 3

    @pytest.mark.parametrize("changes", [False, True])
    async def test_an_append_sent_twice_is_written_once(self, store: Store, changes: bool) -> None:
        """The repeat carries the head that the first has moved on, so it is refused; also in one batch with others."""
        claim, other = await claimed(store), await claimed(store, "r2")
        journal = JournalBuilder.of(claim.run)
        change = Change(progress="{}") if changes else None
        entries = [journal.entry(payload=b"once"), journal.entry(payload=b"only")]
        assert await store.append(
            Append(claim.run.rid, claim.run.epoch, 1, entries, results=2, change=change)
        )

        repeat = store.append(Append(claim.run.rid, claim.run.epoch, 1, entries, results=2, change=change))
        good = store.append(JournalBuilder.of(other.run).append(b"fine"))

        with pytest.raises(Superseded):
            await repeat
        assert await good
        assert [e.payload for e in await store.read(claim.run.ref, after=1)] == [b"once", b"only"]
        record = await record_of(store)
        assert (record.head, record.results) == (3, 2)

    @pytest.mark.parametrize("epoch", [0, 1])
    async def test_two_appends_at_one_head_in_one_batch(self, store: Store, epoch: int) -> None:
        """Queued in one turn with the same head (or a wrong epoch second): the first is written, the other refused."""
        claim, other = await claimed(store), await claimed(store, "r2")
        first = JournalBuilder.of(claim.run).append(b"first")
        rival = JournalBuilder.of(claim.run).append(b"rival")
        if epoch:
            journal = JournalBuilder.of(claim.run)
            first, rival = journal.append(b"first"), journal.append(b"rival")
            rival.epoch += epoch

        won, lost = store.append(first), store.append(rival)
        good = store.append(JournalBuilder.of(other.run).append(b"fine"))

        assert await won
        with pytest.raises(Superseded):
            await lost
        assert await good
        assert [e.payload for e in await store.read(claim.run.ref, after=1)] == [b"first"]
        record = await record_of(store)
        assert (record.head, record.head_hash, record.results) == (2, first.entries[-1].hash, 1)

    async def test_a_gap_in_one_batch_is_refused(self, store: Store) -> None:
        """The second of two queued appends begins after the first's head: it is refused, the first is written."""
        claim = await claimed(store)
        journal = JournalBuilder.of(claim.run)
        first, _, third = journal.append(b"1"), journal.append(b"lost"), journal.append(b"3")

        won, lost = store.append(first), store.append(third)

        assert await won
        with pytest.raises(Superseded):
            await lost
        assert [e.payload for e in await store.read(claim.run.ref, after=1)] == [b"1"]

    async def test_a_refused_append_hurts_no_other_run(self, store: Store) -> None:
        """In one batch: every third run is superseded and one is unknown; the others are all written."""
        claims = [await claimed(store, f"r{i}") for i in range(30)]
        journals = [JournalBuilder.of(claim.run) for claim in claims]
        for claim in claims[::3]:
            await store.seize(claim.run.ref)

        futures = [
            store.append(
                journal.append(f"{n}".encode(), change=Change(progress="{}") if i % 4 == n else None)
            )
            for n in range(3)
            for i, journal in enumerate(journals)
        ]
        unknown = store.append(Append(10**9, 1, 1, [JournalBuilder(run_ref("nobody"), head=1).entry()]))
        outcomes = await asyncio.gather(*futures, unknown, return_exceptions=True)

        assert isinstance(outcomes.pop(), Superseded)
        for i, claim in enumerate(claims):
            mine = outcomes[i::30]
            entries = await store.read(claim.run.ref, after=1)
            if i % 3 == 0:
                assert all(isinstance(outcome, Superseded) for outcome in mine)
                assert entries == []
            else:
                assert mine == [True] * 3
                assert [e.payload for e in entries] == [b"0", b"1", b"2"]

    async def test_a_superseded_owner_stays_out(self, store: Store, other: Store) -> None:
        """After another process has claimed the run, nothing that the first owner has queued is written."""
        claim = await claimed(store)
        mine = JournalBuilder.of(claim.run)
        await store.deregister("w1")
        theirs = await claimed(other, session="w2")
        assert await other.append(JournalBuilder.of(theirs.run).append(b"theirs"))

        with pytest.raises(Superseded):
            await store.append(mine.append(b"mine"))

        assert [e.payload for e in await store.read(claim.run.ref, after=1)] == [b"theirs"]
        assert [e.payload for e in await other.read(claim.run.ref, after=1)] == [b"theirs"]

    # news ------------------------------------------------------------------------------------------------------

    async def test_changes_differ_after_a_change(self, store: Store) -> None:
        """`changes` differs after what others may be waiting for, and stands still while nothing happens."""
        seen = store.changes()
        assert store.changes() == seen
        await started(store)
        assert store.changes() != seen
        seen = store.changes()
        await store.post(mail())
        assert store.changes() != seen

    async def test_a_release_is_news(self, store: Store) -> None:
        """Whoever waits for the end of a run learns of it, and so does the run that gets a message with it."""
        for change in (Change(posts=[mail(to="r2")]), Change(status=RunStatus.SUCCEEDED)):
            claim = await claimed(store, "r1" if change.status else "r0")
            seen = store.changes()
            assert await store.append(JournalBuilder.of(claim.run).append(b"1", change=change))
            assert store.changes() != seen

    async def test_looking_for_work_is_no_news(self, store: Store, second: Store | None) -> None:
        """Where there is nothing to do, a worker that looks does not wake the others, nor itself: it would spin."""
        await started(store)
        await enter(store, "w2")
        await store.claim("w2", AGENTS, limit=1)
        watchers = [store, second or store]
        seen = [watcher.changes() for watcher in watchers]

        assert await store.claim("w2", AGENTS, limit=9) == []
        assert await store.recover() == 0
        await store.next_timer()
        await store.stirred("w2")

        assert [watcher.changes() for watcher in watchers] == seen

    async def test_changed_returns_on_a_change(self, store: Store) -> None:
        """`changed` returns at once if something has happened already, and else as soon as it does."""
        before = store.changes()
        await started(store)
        async with asyncio.timeout(30):
            await store.changed(before, within=3600)
            watch = asyncio.create_task(store.changed(store.changes(), within=3600))
            await asyncio.sleep(0)
            assert not watch.done()
            await store.post(mail())
            await watch

    async def test_changed_returns_after_its_time(self, store: Store) -> None:
        """Nothing happens: `changed` returns without an error, and has changed nothing."""
        seen = store.changes()

        async with asyncio.timeout(30):
            await store.changed(seen, within=0.001)
            await store.changed(seen, within=0)

        assert store.changes() == seen

    async def test_changes_by_another_process_are_seen(self, store: Store, other: Store) -> None:
        """A change by one process ends the wait of another."""
        await started(store)
        async with asyncio.timeout(30):
            watch = asyncio.create_task(other.changed(other.changes(), within=3600))
            await asyncio.sleep(0)
            assert not watch.done()
            await store.post(mail())
            await watch
            assert (await record_of(other)).inbox_seq == 1
