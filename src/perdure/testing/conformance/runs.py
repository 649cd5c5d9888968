"""Runs: accepted once, listed, and kept apart by tenant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ...core.ids import RunRef
from ...journal.state import RunStatus
from ...journal.store import Change, RunQuery, Store
from ..clocks import ManualClock
from ..journals import JournalBuilder
from ._scene import AGENTS, Scene, approval, begin, claimed, enter, mail, record_of, release, run_ref, started

__all__ = ["RunConformance"]


@pytest.mark.asyncio
class RunConformance(Scene):
    """A run is accepted once; lists; tenants do not see each other."""

    # accepting -------------------------------------------------------------------------------------------------

    async def test_a_new_run_is_pending_and_due(self, store: Store, clock: ManualClock) -> None:
        """`create` returns the record of a pending run, due now, with its first entry as the head."""
        new = begin(labels={"team": "sales"}, parent="p1", payload=b"\x00in")
        new = replace(new, deadline=clock.micros() + 9)

        record, is_new = await store.create(new)

        assert is_new
        assert record.ref == new.ref
        assert (record.agent, record.version, record.parent) == ("greeter", "1", "p1")
        assert dict(record.labels) == {"team": "sales"}
        assert record.deadline == clock.micros() + 9
        assert record.status is RunStatus.PENDING
        assert record.reasons == ()
        assert record.created_at == record.updated_at == record.next_wake == clock.micros()
        assert (record.head, record.head_hash) == (1, new.first.hash)
        assert (record.epoch, record.session) == (0, None)
        assert (record.results, record.unclean, record.alone_deaths) == (0, 0, 0)
        assert (record.inbox_seq, record.drained_seq, record.progress) == (0, 0, None)
        assert await store.get(new.ref) == record
        assert await store.read(new.ref) == [new.first]

    async def test_create_is_idempotent_by_run_id(self, store: Store, clock: ManualClock) -> None:
        """A second `create` of one id changes nothing and returns the run as it is, whatever it carries."""
        first, _ = await store.create(begin(payload=b"one"))
        clock.advance(1)

        again, is_new = await store.create(begin(payload=b"two", agent="other", labels={"a": "b"}))

        assert not is_new
        assert again == first
        assert [e.payload for e in await store.read(first.ref)] == [b"one"]
        assert len(await store.find(RunQuery())) == 1

    async def test_create_after_the_run_has_moved_returns_it_as_it_is(self, store: Store) -> None:
        """A `create` of a run that runs already does not make it due again."""
        claim = await claimed(store)

        again, is_new = await store.create(begin())

        assert not is_new
        assert again == claim.run

    async def test_a_run_can_be_due_later(self, store: Store, clock: ManualClock) -> None:
        """`due` is when a run may first be claimed; a `due` of the past means now."""
        later = clock.micros() + 5_000_000

        assert (await started(store, "later", due=later)).next_wake == later
        assert (await started(store, "past", due=clock.micros() - 7)).next_wake == clock.micros()

    async def test_an_unknown_run_is_none(self, store: Store) -> None:
        """What is not there is None or empty, not an error."""
        nobody = run_ref("nobody")

        assert await store.get(nobody) is None
        assert await store.read(nobody) == []
        assert await store.ended([nobody]) == set()
        assert await store.seize(nobody) is None
        assert await store.approvals(ref=nobody) == []
        await store.wake(nobody)
        assert await store.get(nobody) is None

    async def test_ended_names_those_that_have_ended(self, store: Store) -> None:
        """`ended` tells the endings, quarantine too, from what still moves or waits."""
        endings = [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.QUARANTINED]
        for status in [*endings, RunStatus.WAITING]:
            assert await release(store, (await claimed(store, status)).run, status)
        await started(store, "pending")
        await claimed(store, "running")
        names = [*endings, "waiting", "pending", "running", "nobody"]

        assert await store.ended([run_ref(name) for name in names]) == {run_ref(name) for name in endings}
        assert await store.ended([]) == set()

    # lists -----------------------------------------------------------------------------------------------------

    async def test_find_filters(self, store: Store) -> None:
        """Each filter of `RunQuery` alone, and several at once; newest first."""
        await store.create(begin("a", labels={"team": "sales", "tier": "1"}))
        await store.create(begin("b", agent="closer", labels={"team": "sales"}, parent="a"))
        await store.create(begin("c", tenant="acme", labels={"team/é": 'it\'s 100% "so"'}, parent="a"))
        waits = await claimed(store, "d")
        assert await release(store, waits.run, RunStatus.WAITING, reasons=("timer", "approval"))
        await claimed(store, "e")

        async def names(query: RunQuery) -> list[str]:
            return [record.ref.id for record in await store.find(query)]

        assert await names(RunQuery()) == ["e", "d", "c", "b", "a"]
        assert await names(RunQuery(tenant="acme")) == ["c"]
        assert await names(RunQuery(tenant="default")) == ["e", "d", "b", "a"]
        assert await names(RunQuery(statuses=frozenset({RunStatus.WAITING}))) == ["d"]
        two = frozenset({RunStatus.WAITING, RunStatus.RUNNING})
        assert await names(RunQuery(statuses=two)) == ["e", "d"]
        assert await names(RunQuery(agent="closer")) == ["b"]
        assert await names(RunQuery(labels={"team": "sales"})) == ["b", "a"]
        assert await names(RunQuery(labels={"team": "sales", "tier": "1"})) == ["a"]
        assert await names(RunQuery(labels={"team": "1"})) == []
        assert await names(RunQuery(labels={"team/é": 'it\'s 100% "so"'})) == ["c"]
        assert await names(RunQuery(parent="a")) == ["c", "b"]
        assert await names(RunQuery(parent="a", tenant="acme")) == ["c"]
        assert await names(RunQuery(reason="timer")) == await names(RunQuery(reason="approval")) == ["d"]
        assert await names(RunQuery(reason="time")) == []

    async def test_for_whom_a_run_acts_and_whose_data_it_handles(
        self, store: Store, clock: ManualClock
    ) -> None:
        """`principal` and `subject` come back with every record of the run, are filters, and keep tenants apart."""
        ann, odd = "user:ann", "user:o'ne\"il/é%_"
        await store.create(begin("a", principal=ann, subject="customer:1"))
        await store.create(begin("b", principal=odd))
        await store.create(begin("c", tenant="acme", principal=ann, subject="customer:1"))
        await store.create(begin("d"))

        async def names(query: RunQuery) -> list[str]:
            return [record.ref.id for record in await store.find(query)]

        assert await names(RunQuery(principal=ann)) == ["c", "a"]
        assert await names(RunQuery(principal=ann, tenant="default")) == ["a"]
        assert await names(RunQuery(principal=odd)) == ["b"]
        assert await names(RunQuery(principal="user:an")) == await names(RunQuery(principal="")) == []
        assert await names(RunQuery(subject="customer:1")) == ["c", "a"]
        assert await names(RunQuery(subject="customer:1", tenant="acme", principal=ann)) == ["c"]
        assert await names(RunQuery(subject=ann)) == []
        nobody = await record_of(store, "d")
        assert (nobody.principal, nobody.subject) == (None, None)
        await enter(store)
        claims = await store.claim("w1", AGENTS, limit=9)
        assert len(claims) == 4
        for claim in claims:
            assert (claim.run.principal, claim.run.subject) == {
                "a": (ann, "customer:1"),
                "b": (odd, None),
                "c": (ann, "customer:1"),
                "d": (None, None),
            }[claim.run.ref.id]
        seized = await store.seize(run_ref("a"))
        assert seized is not None
        assert (seized.run.principal, seized.run.subject) == (ann, "customer:1")

    async def test_find_pages_by_rid(self, store: Store) -> None:
        """Pages by `before` and `limit` give each run once, also when runs are added between two pages."""
        for i in range(7):
            await started(store, f"r{i}")

        page = await store.find(RunQuery(limit=3))
        pages = [page]
        await started(store, "new")
        for _ in range(3):
            page = await store.find(RunQuery(limit=3, before=page[-1].rid)) if page else []
            pages.append(page)

        ids = [[record.ref.id for record in page] for page in pages]
        assert ids == [["r6", "r5", "r4"], ["r3", "r2", "r1"], ["r0"], []]

    async def test_find_returns_what_get_returns(self, store: Store) -> None:
        """A list shows the same record as `get`, after the run has moved."""
        claim = await claimed(store)
        assert await store.append(
            JournalBuilder.of(claim.run).append(b"1", change=Change(progress='{"done": "é\\u0000"}'))
        )

        record = await record_of(store)

        assert await store.find(RunQuery()) == [record]
        assert record.progress == '{"done": "é\\u0000"}'

    # tenants ---------------------------------------------------------------------------------------------------

    async def test_two_tenants_may_use_one_id(self, store: Store) -> None:
        """The same run id in two tenants names two runs, and every method that takes a ref keeps to its own."""
        ours = await claimed(store)
        journal = JournalBuilder.of(ours.run)
        asks = Change(opened=[approval("ask")], progress="{}")
        assert await store.append(journal.append(b"ours", change=asks))
        theirs, is_new = await store.create(begin(tenant="acme", payload=b"theirs"))

        assert is_new
        assert theirs.rid != ours.run.rid
        assert [e.payload for e in await store.read(theirs.ref)] == [b"theirs"]
        assert [e.payload for e in await store.read(ours.run.ref)][-1] == b"ours"
        assert await store.approvals(ref=theirs.ref) == []
        assert await store.approvals(tenant="acme") == []

        assert await store.post(mail("m1", tenant="acme"))
        assert await store.post(mail("m1"))
        assert [m.n for m in await store.inbox(theirs.rid, after=0)] == [1]
        assert (await record_of(store)).inbox_seq == 1

        assert await store.append(
            journal.append(b"end", change=Change(status=RunStatus.SUCCEEDED, drained=1))
        )
        assert await store.ended([ours.run.ref, theirs.ref]) == {ours.run.ref}
        assert (await record_of(store, tenant="acme")).status is RunStatus.PENDING

    async def test_a_ref_of_another_tenant_reaches_nothing(self, store: Store) -> None:
        """With the right id and the wrong tenant: not read, woken, seized, claimed, posted to or listed."""
        await claimed(store)
        await store.append(
            JournalBuilder.of(await record_of(store)).append(b"1", change=Change(opened=[approval("ask")]))
        )
        before = await record_of(store)
        wrong = RunRef("acme", "r1")

        assert await store.get(wrong) is None
        assert await store.read(wrong) == []
        assert await store.seize(wrong) is None
        assert await store.approvals(ref=wrong) == []
        assert await store.claim("w1", AGENTS, limit=9, only=wrong) == []
        assert await store.find(RunQuery(tenant="acme")) == []
        await store.wake(wrong, reset=True)
        posted = Change(posts=[mail(tenant="acme")])
        assert await store.append(JournalBuilder.of(before).append(b"2", change=posted))
        with pytest.raises(Exception, match="r1"):
            await store.post(mail(tenant="acme"))

        after = await record_of(store)
        assert (after.status, after.epoch, after.next_wake, after.inbox_seq) == (
            before.status,
            before.epoch,
            None,
            0,
        )

    async def test_each_tenant_has_its_own_lasting_key(self, store: Store) -> None:
        """32 random bytes a tenant, the same ever after, and what a claim carries."""
        acme = await store.tenant_key("acme")
        beta = await store.tenant_key("beta")

        assert len(acme) == len(beta) == 32
        assert acme != beta
        assert await store.tenant_key("acme") == acme
        claim = await claimed(store, tenant="acme")
        assert claim.tenant_key == await store.tenant_key("acme", subject=claim.run.subject)
        other = await claimed(store, tenant="gamma")
        assert other.tenant_key == await store.tenant_key("gamma", subject=other.run.subject)

    async def test_keys_are_shared_with_other_processes(self, store: Store, other: Store) -> None:
        """Two processes that ask for a new tenant's key at once get the same."""
        assert await store.tenant_key("acme") == await other.tenant_key("acme")
        await enter(other, "w2")
        await started(store, tenant="beta")
        claim = (await other.claim("w2", AGENTS, limit=1))[0]
        assert claim.tenant_key == await store.tenant_key("beta", subject=claim.run.subject)
