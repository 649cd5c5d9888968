"""What becomes of a run's past: generations, endings, pruning."""

from __future__ import annotations

import pytest

from ...core.errors import StoreCorrupt, UnknownRun
from ...journal.entry import Entry, Kind, commitment, verify_chain
from ...journal.fleet import Serves
from ...journal.own import OWN_AGENTS
from ...journal.state import ENDINGS, RunStatus
from ...journal.store import Append, Change, RunQuery, Store
from ..clocks import ManualClock
from ..journals import JournalBuilder
from ._scene import AGENTS, Scene, approval, begin, claimed, enter, mail, record_of, release, run_ref

__all__ = ["HistoryConformance"]


class HistoryConformance(Scene):
    """Runs that begin again; when a run ended; what pruning takes and leaves; which blobs are collected."""

    # generations -------------------------------------------------------------------------------------------------

    async def test_a_run_that_begins_again_is_read_from_there(self, store: Store) -> None:
        """The next claim reads from the base on; the chain goes on, and the whole journal is still there."""
        run = (await claimed(store)).run
        builder = JournalBuilder.of(run)
        step = builder.entry(Kind.RESULT, "step", b"1")
        await store.append(Append(run.rid, run.epoch, run.head, [step], 1))
        began = [
            builder.entry(Kind.CONTINUED, payload=b'{"input":2}'),
            builder.entry(Kind.MESSAGE, payload=b"{}"),
        ]
        change = Change(
            status=RunStatus.PENDING, next_wake=0, base=began[0].seq, base_hash=step.hash, closed=()
        )
        assert await store.append(Append(run.rid, run.epoch, step.seq, began, change=change))
        (claim,) = await store.claim("w1", AGENTS, limit=1)
        assert list(claim.entries) == began
        again = claim.run
        assert (again.base, again.base_hash, again.generation) == (began[0].seq, step.hash, 2)
        assert verify_chain(again.ref, claim.entries, after=again.base - 1, previous=again.base_hash) == (
            again.head,
            again.head_hash,
        )
        whole = await store.read(again.ref)
        assert verify_chain(again.ref, whole) == (again.head, again.head_hash)
        await store.deregister("w1")
        seized = await store.seize(again.ref)
        assert seized is not None and list(seized.entries) == began

    async def test_a_release_that_is_refused_leaves_the_generation(self, store: Store) -> None:
        """Where the inbox holds more, the run does not begin again."""
        run = (await claimed(store)).run
        await store.post(mail())
        entry = JournalBuilder.of(run).entry(Kind.CONTINUED, payload=b"{}")
        change = Change(
            status=RunStatus.PENDING, drained=0, next_wake=0, base=entry.seq, base_hash=run.head_hash
        )
        assert not await store.append(Append(run.rid, run.epoch, run.head, [entry], change=change))
        record = await record_of(store)
        assert (record.base, record.base_hash, record.generation) == (1, None, 1)

    async def test_questions_are_closed_when_a_run_begins_again(self, store: Store) -> None:
        """They were those of the generation that is over."""
        run = (await claimed(store)).run
        builder = JournalBuilder.of(run)
        await store.append(builder.append(b"1", change=Change(opened=[approval("a"), approval("b")])))
        entry = builder.entry(Kind.CONTINUED, payload=b"{}")
        change = Change(status=RunStatus.PENDING, next_wake=0, base=entry.seq, base_hash=b"h" * 32)
        assert await store.append(Append(run.rid, run.epoch, entry.seq - 1, [entry], change=change))
        assert await store.approvals() == []

    # endings -----------------------------------------------------------------------------------------------------

    async def test_when_a_run_ended_is_known(self, store: Store, clock: ManualClock) -> None:
        """By the store's clock; null while it may go on, also after a quarantine was lifted."""
        await enter(store)
        for n, status in enumerate([*sorted(ENDINGS), RunStatus.WAITING]):
            run = (await claimed(store, f"r{n}")).run
            assert run.ended_at is None
            clock.advance(5)
            assert await release(store, run, status)
            record = await record_of(store, f"r{n}")
            assert record.ended_at == (clock.micros() if status in ENDINGS else None), status
            if status is RunStatus.QUARANTINED:
                await store.wake(run.ref, reset=True)
                assert (await record_of(store, f"r{n}")).ended_at is None

    # pruning -----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [0, 9, 100_000])
    async def test_pruning_leaves_a_chain_that_verifies(
        self, store: Store, clock: ManualClock, size: int
    ) -> None:
        """Headers and hashes stay, salts and payloads go; of the row, what is counted stays."""
        run = (await claimed(store)).run
        builder = JournalBuilder.of(run)
        await store.append(builder.append(bytes(size), change=Change(progress="{}", opened=[approval("a")])))
        await store.post(mail(body=b'"secret"'))
        record = await record_of(store)
        change = Change(status=RunStatus.FAILED, reasons=("Boom: secret",), drained=1)
        end = builder.entry(Kind.ENDED, payload=b'{"status":"failed"}')
        assert await store.append(Append(run.rid, run.epoch, record.head, [end], change=change))
        before = await store.read(run.ref)
        clock.advance(3)
        assert await store.prune(run.ref) == len(before)
        after = await store.read(run.ref)
        for was, now in zip(before, after, strict=True):
            assert now.erased and not was.erased
            assert now == was._replace(salt=b"", payload=commitment(was.salt, was.payload))
        pruned = await record_of(store)
        assert verify_chain(run.ref, after) == (pruned.head, pruned.head_hash)
        with pytest.raises(StoreCorrupt, match="erased"):
            verify_chain(run.ref, after, whole=True)
        assert (pruned.status, pruned.results, pruned.pruned_at) == (RunStatus.FAILED, 1, clock.micros())
        assert (pruned.reasons, pruned.progress) == ((), None)
        assert await store.inbox(run.rid, after=0) == []
        clock.advance(3)
        assert await store.prune(run.ref) == 0
        assert (await record_of(store)).pruned_at == pruned.pruned_at

    async def test_what_was_charged_outlives_the_journal(self, store: Store) -> None:
        """A bill needs no more of a run than that; the chain verifies with what is left."""
        run = (await claimed(store)).run
        builder = JournalBuilder.of(run)
        charged = builder.entry(Kind.CHARGED, "turn", b'{"amount":{"money":3}}')
        result = builder.entry(Kind.RESULT, "turn", b"1")
        await store.append(Append(run.rid, run.epoch, run.head, [charged, result], 1))
        assert await release(store, await record_of(store), RunStatus.SUCCEEDED)
        assert await store.prune(run.ref) == 3
        assert await store.prune(run.ref) == 0
        after = await store.read(run.ref)
        assert [e.kind for e in after if not e.erased] == [Kind.CHARGED]
        assert after[1] == charged
        record = await record_of(store)
        assert verify_chain(run.ref, after) == (record.head, record.head_hash)

    async def test_of_a_living_run_only_earlier_generations_are_pruned(self, store: Store) -> None:
        """It goes on as if nothing had been."""
        run = (await claimed(store)).run
        assert await store.prune(run.ref) == 0
        entry = JournalBuilder.of(run).entry(Kind.CONTINUED, payload=b"{}")
        change = Change(status=RunStatus.PENDING, next_wake=0, base=entry.seq, base_hash=run.head_hash)
        assert await store.append(Append(run.rid, run.epoch, run.head, [entry], change=change))
        assert await store.prune(run.ref) == 1
        assert [e.erased for e in await store.read(run.ref)] == [True, False]
        record = await record_of(store)
        assert record.pruned_at is None
        assert verify_chain(run.ref, await store.read(run.ref)) == (record.head, record.head_hash)
        (claim,) = await store.claim("w1", AGENTS, limit=1)
        assert list(claim.entries) == [entry]

    async def test_a_pruned_run_is_not_released_from_quarantine(self, store: Store) -> None:
        """There is nothing left to replay."""
        run = (await claimed(store)).run
        assert await release(store, run, RunStatus.QUARANTINED)
        await store.prune(run.ref)
        await store.wake(run.ref, reset=True)
        assert (await record_of(store)).status is RunStatus.QUARANTINED

    async def test_a_run_that_is_not_there_cannot_be_pruned(self, store: Store) -> None:
        """Neither can another tenant's."""
        await store.create(begin(tenant="acme"))
        with pytest.raises(UnknownRun):
            await store.prune(run_ref())

    async def test_what_is_overdue_comes_in_the_order_of_its_end(
        self, store: Store, clock: ManualClock
    ) -> None:
        """By agent and ending; of all tenants; not what was pruned, and not what ended later."""
        await enter(store)
        for name, status in (("a", "succeeded"), ("b", "succeeded"), ("c", "failed"), ("d", "succeeded")):
            run = (await claimed(store, name, tenant="acme" if name == "b" else "default")).run
            clock.advance(10)
            assert await release(store, run, RunStatus(status))
        now = clock.micros()
        good = RunStatus.SUCCEEDED

        async def overdue(before: int, limit: int = 10, agent: str = "greeter") -> list[str]:
            found = await store.overdue(agent=agent, status=good, before=before, limit=limit)
            return [ref.id for ref in found]

        assert await overdue(now) == ["a", "b"]
        assert await overdue(now + 1) == ["a", "b", "d"]
        assert await overdue(now + 1, limit=1) == ["a"]
        assert await overdue(now + 1, agent="other") == []
        await store.prune(run_ref("a"))
        assert await overdue(now + 1) == ["b", "d"]

    async def test_runs_are_found_and_counted_by_version_time_and_pruning(
        self, store: Store, clock: ManualClock
    ) -> None:
        """Each filter alone; a count knows no pages."""
        await enter(store)
        at: list[int] = []
        for n in range(3):
            at.append(clock.micros())
            await store.create(begin(f"r{n}", version=str(n), labels={"n": str(n % 2)}))
            clock.advance(10)
        (claim,) = await store.claim("w1", [Serves("greeter", "1")], limit=1)
        assert await release(store, claim.run, RunStatus.SUCCEEDED)
        for query, names in (
            (RunQuery(version="2"), ["r2"]),
            (RunQuery(since=at[1]), ["r2", "r1"]),
            (RunQuery(until=at[1]), ["r0"]),
            (RunQuery(ended_before=clock.micros() + 1), ["r1"]),
            (RunQuery(ended_before=clock.micros()), []),
            (RunQuery(pruned=False), ["r2", "r1", "r0"]),
            (RunQuery(pruned=True), []),
            (RunQuery(labels={"n": "0"}), ["r2", "r0"]),
        ):
            assert [r.ref.id for r in await store.find(query)] == names, query
            assert await store.count(query) == len(names), query
        await store.prune(run_ref("r1"))
        assert [r.ref.id for r in await store.find(RunQuery(pruned=True))] == ["r1"]
        assert await store.count(RunQuery(limit=1, before=1)) == 3

    async def test_what_perdure_writes_for_itself_is_listed_only_for_who_asks(self, store: Store) -> None:
        """By `find`, `count` and `figured` alike; whatever else is asked for, and over pages."""
        agents = ("greeter", *OWN_AGENTS, "perdure-docs", *OWN_AGENTS * 2, "greeter")
        for n, agent in enumerate(agents):
            await store.create(begin(f"r{n}", agent=agent, labels={"n": str(n % 3)}))
        newest = [(f"r{n}", agent, str(n % 3)) for n, agent in enumerate(agents)][::-1]
        theirs = [name for name, agent, _ in newest if agent not in OWN_AGENTS]
        for query, names in (
            (RunQuery(own=False), theirs),
            (RunQuery(tenant="default", own=False), theirs),
            (
                RunQuery(tenant="default", own=False, labels={"n": "0"}),
                [name for name, _, label in newest if name in theirs and label == "0"],
            ),
            (RunQuery(tenant="default", own=False, statuses=frozenset({RunStatus.PENDING})), theirs),
            (
                RunQuery(own=False, agent="perdure.views"),
                [name for name, agent, _ in newest if agent == "perdure.views"],
            ),
            (RunQuery(tenant="default"), [name for name, _, _ in newest]),
        ):
            assert [r.ref.id for r in await store.find(query)] == names, query
            assert [run.ref.id for run, _ in (await store.figured(query)).rows] == names, query
            assert await store.count(query) == len(names), query
        first = await store.figured(RunQuery(tenant="default", own=False, limit=1))
        last = await store.get(run_ref(theirs[0]))
        assert last is not None and first.last == last.ref
        rest = await store.figured(RunQuery(tenant="default", own=False, limit=2, before=last.rid))
        assert [run.ref.id for run, _ in (*first.rows, *rest.rows)] == theirs
        assert rest.last is None

    # entries of one kind -----------------------------------------------------------------------------------------

    async def test_entries_of_one_kind_come_by_pages(self, store: Store) -> None:
        """Of the runs that are named and no others, by run and number, whole and whatever their size."""
        wanted: list[tuple[int, Entry]] = []
        rids: list[int] = []
        for name, tenant in (("a", "acme"), ("b", "default"), ("c", "default")):
            run = (await claimed(store, name, tenant=tenant)).run
            builder = JournalBuilder.of(run)
            for n in range(3):
                large = b"[" + b"0," * 50_000 + b"0]"
                charged = builder.entry(Kind.CHARGED, f"s{n}", large if n == 1 else b"1")
                result = builder.entry(Kind.RESULT, f"s{n}", b"1")
                await store.append(Append(run.rid, run.epoch, charged.seq - 1, [charged, result], 1))
                if name != "b":
                    wanted.append((run.rid, charged))
            if name != "b":
                rids.append(run.rid)
        wanted.sort(key=lambda found: (found[0], found[1].seq))
        for limit in (1, 2, 4, 6, 100):
            found: list[tuple[int, Entry]] = []
            after = (0, 0)
            while page := await store.of_kind(Kind.CHARGED, rids[::-1], after=after, limit=limit):
                assert len(page) <= limit
                found += page
                after = (page[-1][0], page[-1][1].seq)
            assert found == wanted, limit
        assert await store.of_kind(Kind.OUTCOME, rids) == []
        assert await store.of_kind(Kind.CHARGED, []) == []
        assert await store.of_kind(Kind.CHARGED, [max(rids) + 1000]) == []

    # blobs -------------------------------------------------------------------------------------------------------

    async def test_only_what_no_entry_names_is_collected(self, store: Store, clock: ManualClock) -> None:
        """And not what a writer has asked for since."""
        large = bytes(100_000)
        for name in ("a", "b"):
            run = (await claimed(store, name)).run
            await store.append(JournalBuilder.of(run).append(large))
            assert await release(store, await record_of(store, name), RunStatus.SUCCEEDED)
        later = clock.micros() + 1
        await store.prune(run_ref("a"))
        assert await store.collect(before=later) == 0
        assert (await store.read(run_ref("b")))[1].payload == large
        await store.prune(run_ref("b"))
        clock.advance(10)
        run = (await claimed(store, "c")).run
        await store.append(JournalBuilder.of(run).append(large))
        assert await store.collect(before=later) == 0
        assert (await store.read(run_ref("c")))[1].payload == large
        assert await release(store, await record_of(store, "c"), RunStatus.SUCCEEDED)
        await store.prune(run_ref("c"))
        assert await store.collect(before=later) == 0  # asked for since
        assert await store.collect(before=clock.micros() + 1) <= 1  # where the backend keeps blobs at all
        assert await store.collect(before=clock.micros() + 1) == 0
