"""The inbox, the release guard, messages that travel with an append, and approvals."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from ...core.errors import RunEnded, Superseded, UnknownRun
from ...core.ids import RunRef
from ...journal.approvals import Approval, Overdue
from ...journal.state import ENDINGS, RunStatus
from ...journal.store import Change, Message, Post, Store
from ..clocks import ManualClock
from ..journals import JournalBuilder
from ._scene import AGENTS, Scene, approval, claimed, enter, mail, record_of, release, run_ref, started

__all__ = ["InboxConformance"]


@pytest.mark.asyncio
class InboxConformance(Scene):
    """No message is lost, none is applied twice, and no wake-up is lost in either order."""

    # posting ---------------------------------------------------------------------------------------------------

    async def test_messages_come_in_order_as_they_were_sent(self, store: Store, clock: ManualClock) -> None:
        """`n` counts from 1; every field comes back; `after` excludes what was seen."""
        run = await started(store)
        sent: list[Message] = []
        for i, body in enumerate([b"", b"\x00\xff", b'{"a": "\\u0000"}', "é".encode() * 70_000], start=1):
            clock.advance(1)
            post = Post(ref=run.ref, kind="answer", name=f"ask:{i}", id=f"m-{i}", sender="user:é", body=body)
            assert await store.post(post)
            sent.append(
                Message(
                    n=i,
                    kind="answer",
                    name=f"ask:{i}",
                    id=f"m-{i}",
                    sender="user:é",
                    at=clock.micros(),
                    body=body,
                )
            )

        assert await store.inbox(run.rid, after=0) == sent
        assert await store.inbox(run.rid, after=3) == sent[3:]
        assert await store.inbox(run.rid, after=4) == []
        assert (await record_of(store)).inbox_seq == 4
        assert (await record_of(store)).drained_seq == 0

    async def test_post_is_idempotent_by_message_id(self, store: Store) -> None:
        """Twice with one id: False, the first body stays, the run is stirred once; the id is free in other runs."""
        run = await started(store)
        other = await started(store, "r2")

        assert await store.post(mail("m1", body=b"first"))
        assert not await store.post(mail("m1", body=b"second"))
        assert await store.post(mail("m1", to="r2"))

        assert [m.body for m in await store.inbox(run.rid, after=0)] == [b"first"]
        assert len(await store.inbox(other.rid, after=0)) == 1
        assert (await record_of(store)).inbox_seq == 1

    async def test_a_repeat_stays_one_after_it_was_drained(self, store: Store) -> None:
        """A sender that repeats itself long after is not heard twice."""
        claim = await claimed(store)
        await store.post(mail("m1"))
        assert await release(store, claim.run, RunStatus.WAITING, drained=1)

        assert not await store.post(mail("m1"))

        record = await record_of(store)
        assert (record.inbox_seq, record.drained_seq, record.next_wake) == (1, 1, None)

    async def test_posts_at_once_are_numbered_without_gaps(self, store: Store, second: Store | None) -> None:
        """Many senders, in several processes where there are some, with each message sent twice."""
        run = await started(store)
        senders = [store, second or store]

        posted = await asyncio.gather(*(sender.post(mail(f"m{i}")) for i in range(20) for sender in senders))

        assert sum(posted) == 20
        messages = await store.inbox(run.rid, after=0)
        assert [m.n for m in messages] == list(range(1, 21))
        assert {m.id for m in messages} == {f"m{i}" for i in range(20)}
        assert (await record_of(store)).inbox_seq == 20

    async def test_post_to_an_unknown_run(self, store: Store) -> None:
        """`UnknownRun`, also for the right id in the wrong tenant."""
        await started(store)

        with pytest.raises(UnknownRun):
            await store.post(mail(to="nobody"))
        with pytest.raises(UnknownRun):
            await store.post(mail(tenant="acme"))

    @pytest.mark.parametrize("status", sorted(ENDINGS))
    async def test_post_to_a_run_that_has_ended(self, store: Store, status: RunStatus) -> None:
        """`RunEnded` in each of the endings; its inbox stays as it was."""
        claim = await claimed(store)
        assert await release(store, claim.run, status)

        with pytest.raises(RunEnded):
            await store.post(mail())

        record = await record_of(store)
        assert (record.inbox_seq, record.next_wake) == (0, None)
        assert await store.inbox(record.rid, after=0) == []

    # waking ----------------------------------------------------------------------------------------------------

    async def test_a_message_makes_a_waiting_run_due(self, store: Store, clock: ManualClock) -> None:
        """Whether it waits for ever or for later; its status stays."""
        for name, wake in (("r1", None), ("r2", clock.micros() + 10**12)):
            claim = await claimed(store, name)
            assert await release(store, claim.run, RunStatus.WAITING, reasons=("signal",), next_wake=wake)
            assert await store.claim("w1", AGENTS, limit=9) == []
            clock.advance(1)

            assert await store.post(mail(to=name))

            record = await record_of(store, name)
            assert (record.status, record.next_wake) == (RunStatus.WAITING, clock.micros())
            assert record.reasons == ("signal",)
            assert [c.run.ref.id for c in await store.claim("w1", AGENTS, limit=9)] == [name]

    async def test_a_message_makes_a_pending_run_due(self, store: Store, clock: ManualClock) -> None:
        """A run that was to start later starts now, so that it can answer (it may be a cancel)."""
        await started(store, due=clock.micros() + 10**12)
        clock.advance(1)

        assert await store.post(mail())

        record = await record_of(store)
        assert (record.status, record.next_wake) == (RunStatus.PENDING, clock.micros())

    async def test_a_message_does_not_put_a_due_run_back(self, store: Store, clock: ManualClock) -> None:
        """A run that has been due for long keeps its place in the queue."""
        run = await started(store)
        clock.advance(5)
        await store.post(mail())
        assert (await record_of(store)).next_wake == run.next_wake

    async def test_a_message_to_a_running_run_stirs_it(self, store: Store) -> None:
        """It is not due; its owner learns of it through `stirred`, until it has drained."""
        one, two = await claimed(store), await claimed(store, "r2")
        await claimed(store, "r3", session="w2")
        assert await store.stirred("w1") == []

        for name in ("r1", "r3"):
            await store.post(mail(to=name))

        record = await record_of(store)
        assert (record.status, record.next_wake, record.epoch) == (RunStatus.RUNNING, None, one.run.epoch)
        assert await store.stirred("w1") == [one.run.rid]
        await store.post(mail(to="r2"))
        assert sorted(await store.stirred("w1")) == sorted([one.run.rid, two.run.rid])
        assert await store.append(JournalBuilder.of(record).append(b"heard", change=Change(drained=1)))
        assert await store.stirred("w1") == [two.run.rid]
        assert (await record_of(store)).drained_seq == 1
        assert await store.stirred("nobody") == []

    # the release guard -----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("status", [RunStatus.WAITING, RunStatus.PENDING, RunStatus.SUCCEEDED])
    async def test_a_message_before_the_release_refuses_it(self, store: Store, status: RunStatus) -> None:
        """The future is False and nothing at all was written; after draining, the same release is written."""
        claim = await claimed(store)
        await started(store, "r2")
        await store.post(mail())
        before = await record_of(store)
        journal = JournalBuilder.of(claim.run)
        refused = journal.append(
            b"end",
            change=Change(
                status=status,
                reasons=("timer",),
                next_wake=7,
                progress="{}",
                opened=[approval("ask")],
                posts=[mail(to="r2")],
            ),
        )

        assert await store.append(refused) is False

        assert await record_of(store) == before
        assert len(await store.read(claim.run.ref)) == 1
        assert await store.approvals() == []
        assert (await record_of(store, "r2")).inbox_seq == 0
        assert await release(store, claim.run, status, drained=1)
        assert (await record_of(store)).drained_seq == 1

    async def test_draining_part_of_the_inbox_does_not_release(self, store: Store) -> None:
        """`drained` must be all of it; a stored `drained_seq` counts where the release carries none."""
        claim = await claimed(store)
        await store.post(mail("m1"))
        await store.post(mail("m2"))

        assert await release(store, claim.run, RunStatus.WAITING, drained=1) is False
        assert (await record_of(store)).drained_seq == 0
        assert await store.append(JournalBuilder.of(claim.run).append(b"1", change=Change(drained=1)))
        assert await release(store, await record_of(store), RunStatus.WAITING) is False
        assert await store.append(
            JournalBuilder.of(await record_of(store)).append(b"2", change=Change(drained=2))
        )
        assert await release(store, await record_of(store), RunStatus.WAITING) is True

    async def test_a_message_after_the_release_makes_it_due(self, store: Store, clock: ManualClock) -> None:
        """The other order: the release is written, and the message finds a waiting run, which it wakes."""
        claim = await claimed(store)
        assert await release(store, claim.run, RunStatus.WAITING, next_wake=None)

        await store.post(mail())

        assert (await record_of(store)).next_wake == clock.micros()
        again = await store.claim("w1", AGENTS, limit=1)
        assert [c.run.epoch for c in again] == [claim.run.epoch + 1]
        assert len(await store.inbox(claim.run.rid, after=again[0].run.drained_seq)) == 1

    async def test_a_race_of_message_and_release_loses_no_wake_up(
        self, store: Store, second: Store | None
    ) -> None:
        """Posted while the release is on its way: either the release is refused, or the run is due."""
        sender = second or store
        for i in range(20):
            claim = await claimed(store, f"r{i}")

            if i % 2:
                released, _ = await asyncio.gather(
                    release(store, claim.run, RunStatus.WAITING), sender.post(mail(to=f"r{i}"))
                )
            else:
                _, released = await asyncio.gather(
                    sender.post(mail(to=f"r{i}")), release(store, claim.run, RunStatus.WAITING)
                )

            record = await record_of(store, f"r{i}")
            assert record.inbox_seq == 1
            if released:
                assert record.next_wake is not None, f"`r{i}` waits with a message that nobody will read"
            else:
                assert record.status is RunStatus.RUNNING

    async def test_a_change_without_a_release_is_never_refused(self, store: Store) -> None:
        """Entries of an owner that has not drained are written; its claim goes on."""
        claim = await claimed(store)
        await store.post(mail())

        assert await store.append(JournalBuilder.of(claim.run).append(b"1", change=Change(progress='"half"')))

        record = await record_of(store)
        assert (record.status, record.session, record.progress) == (RunStatus.RUNNING, "w1", '"half"')
        assert (record.head, record.drained_seq, record.inbox_seq) == (2, 0, 1)
        assert await store.append(JournalBuilder.of(record).append(change=Change(drained=1)))
        assert (await record_of(store)).progress == '"half"'
        assert (await record_of(store)).head == 2

    # messages that travel with an append -----------------------------------------------------------------------

    async def test_posts_of_a_change_arrive_with_it(self, store: Store, clock: ManualClock) -> None:
        """A waiting run in the same or another tenant is woken in the same transaction; the body is as it was sent."""
        sender = await claimed(store)
        for tenant in ("default", "acme"):
            waiter = await claimed(store, "r2", tenant=tenant)
            assert await release(store, waiter.run, RunStatus.WAITING)
        posts = [mail("p1", to="r2", body=b"\x00"), mail("p2", to="r2"), mail("p1", to="r2", tenant="acme")]
        clock.advance(1)

        assert await store.append(JournalBuilder.of(sender.run).append(b"1", change=Change(posts=posts)))

        record = await record_of(store, "r2")
        assert (record.inbox_seq, record.next_wake) == (2, clock.micros())
        assert [m.body for m in await store.inbox(record.rid, after=0)] == [b"\x00", b"{}"]
        assert (await record_of(store, "r2", tenant="acme")).inbox_seq == 1

    async def test_posts_of_a_release_arrive_with_it(self, store: Store) -> None:
        """The end of a child reaches its parent."""
        child = await claimed(store, "child")
        parent = await started(store, "parent")

        assert await release(store, child.run, RunStatus.SUCCEEDED, posts=[mail("done", to="parent")])

        assert [m.id for m in await store.inbox(parent.rid, after=0)] == ["done"]

    async def test_posts_of_a_change_are_idempotent(self, store: Store) -> None:
        """An id that the inbox has seen, by a post or by a change, is not delivered again."""
        claim = await claimed(store)
        target = await started(store, "r2")
        await store.post(mail("m1", to="r2", body=b"first"))
        journal = JournalBuilder.of(claim.run)

        for _ in range(2):
            posts = [mail("m1", to="r2"), mail("m2", to="r2"), mail("m2", to="r2")]
            assert await store.append(journal.append(b"x", change=Change(posts=posts)))

        assert [(m.id, m.body) for m in await store.inbox(target.rid, after=0)] == [
            ("m1", b"first"),
            ("m2", b"{}"),
        ]
        assert (await record_of(store, "r2")).inbox_seq == 2

    async def test_posts_to_a_run_that_is_gone_are_dropped(self, store: Store) -> None:
        """Unknown or ended targets do not stop the append, nor the posts beside them."""
        over = await claimed(store, "over")
        assert await release(store, over.run, RunStatus.FAILED)
        alive = await started(store, "alive")
        claim = await claimed(store)
        posts = [mail(to="nobody"), mail(to="over"), mail(to="r1", tenant="acme"), mail(to="alive")]

        assert await store.append(JournalBuilder.of(claim.run).append(b"1", change=Change(posts=posts)))

        assert (await record_of(store, "over")).inbox_seq == 0
        assert (await record_of(store, "over")).next_wake is None
        assert len(await store.inbox(alive.rid, after=0)) == 1

    async def test_a_refused_append_posts_nothing(self, store: Store) -> None:
        """Superseded: no message leaves, no approval opens or closes."""
        claim = await claimed(store)
        target = await started(store, "r2")
        assert await store.append(
            JournalBuilder.of(claim.run).append(change=Change(opened=[approval("old")]))
        )
        stale = JournalBuilder.of(claim.run)
        await store.seize(run_ref())

        with pytest.raises(Superseded):
            change = Change(posts=[mail(to="r2")], opened=[approval("new")], closed=["old"])
            await store.append(stale.append(b"1", change=change))

        assert await store.inbox(target.rid, after=0) == []
        assert [a.step for a in await store.approvals()] == ["old"]

    # approvals -------------------------------------------------------------------------------------------------

    async def test_approvals_open_and_close_with_an_append(self, store: Store) -> None:
        """What was opened is listed as it was written until it is closed; others of the run stay."""
        claim = await claimed(store)
        journal = JournalBuilder.of(claim.run)
        first, then = approval("pay:1", at=5), approval("mail:é", at=6)
        assert await store.append(journal.append(b"1", change=Change(opened=[first, then])))
        assert await store.approvals() == [first, then]

        assert await store.append(journal.append(b"2", change=Change(closed=["pay:1", "never opened"])))

        assert await store.approvals() == [then]

    async def test_an_approval_opened_again_is_one(self, store: Store) -> None:
        """After a crash the owner asks again: the later question replaces the earlier."""
        claim = await claimed(store)
        journal = JournalBuilder.of(claim.run)
        assert await store.append(journal.append(change=Change(opened=[approval("ask", at=5)])))
        assert await store.append(journal.append(change=Change(opened=[approval("ask", at=9)])))

        assert [a.opened_at for a in await store.approvals()] == [9]

    async def test_approvals_stay_open_while_the_run_waits(self, store: Store) -> None:
        """Release, recovery and a new claim leave them; the end of the run closes them, and only its own."""
        neighbour = await claimed(store, "r2")
        ask = Change(opened=[approval("ask", run="r2")])
        assert await store.append(JournalBuilder.of(neighbour.run).append(b"1", change=ask))
        claim = await claimed(store)
        opening = Change(
            status=RunStatus.WAITING, reasons=("approval",), opened=[approval("ask"), approval("more")]
        )
        assert await store.append(JournalBuilder.of(claim.run).append(b"1", change=opening))
        assert len(await store.approvals(ref=run_ref())) == 2
        again = await claimed(store)
        assert len(await store.approvals(ref=run_ref())) == 2

        assert await release(store, again.run, RunStatus.CANCELLED)

        assert await store.approvals(ref=run_ref()) == []
        assert len(await store.approvals()) == 1

    async def test_approvals_by_tenant_and_run_oldest_first(self, store: Store) -> None:
        """The list filters by tenant and by run, and begins with what has waited longest."""
        for i, (tenant, name) in enumerate([("default", "r1"), ("acme", "r1"), ("default", "r2")]):
            claim = await claimed(store, name, tenant=tenant)
            asks = [approval(f"ask:{at}", run=name, tenant=tenant, at=at) for at in (30 - i, 10 - i)]
            assert await store.append(JournalBuilder.of(claim.run).append(b"1", change=Change(opened=asks)))

        async def times(tenant: str | None = None, ref: RunRef | None = None) -> list[int]:
            return [a.opened_at for a in await store.approvals(tenant=tenant, ref=ref)]

        assert await times() == [8, 9, 10, 28, 29, 30]
        assert await times(tenant="acme") == [9, 29]
        assert await times(tenant="default") == [8, 10, 28, 30]
        assert await times(ref=run_ref("r2")) == [8, 28]
        assert await times(tenant="nobody") == []
        assert await times(ref=run_ref("r2", tenant="acme")) == []
        assert {a.ref for a in await store.approvals(tenant="acme")} == {run_ref(tenant="acme")}

    async def test_approvals_come_by_pages_and_those_that_are_late_by_themselves(self, store: Store) -> None:
        """Pages meet without a gap, also among those of one moment; a deadline decides, or how long one stands open."""
        now = store.now()
        for name in ("r2", "r1"):
            claim = await claimed(store, name)
            asks = [approval(f"ask:{at}", run=name, at=at) for at in (7, 9)]
            asks += [
                replace(approval(f"due:{n}", run=name, at=now), due=now + n * 60_000_000) for n in (-1, 9)
            ]
            assert await store.append(JournalBuilder.of(claim.run).append(b"1", change=Change(opened=asks)))
        whole = await store.approvals()

        paged: list[Approval] = []
        while page := await store.approvals(after=paged[-1].place if paged else None, limit=3):
            paged += page

        assert paged == whole
        assert (
            len(whole) == await store.count_approvals() == await store.count_approvals(tenant="default") == 8
        )
        assert await store.count_approvals(tenant="nobody") == 0
        for overdue, steps in ((Overdue(now), ["due:-1"]), (Overdue(now, 9), ["ask:7", "due:-1"])):
            late = await store.approvals(tenant="default", overdue=overdue)
            assert sorted({a.step for a in late}) == steps
            assert (
                await store.count_approvals(tenant="default", overdue=overdue) == len(late) == 2 * len(steps)
            )

    async def test_an_approval_shows_what_it_was_given(self, store: Store) -> None:
        """Question, due, agent and the bytes that the human is shown come back."""
        claim = await claimed(store)
        await enter(store, "w9")
        assert await store.append(
            JournalBuilder.of(claim.run).append(change=Change(opened=[approval("pay:1", at=3)]))
        )

        (found,) = await store.approvals(ref=run_ref())

        assert found == approval("pay:1", at=3)
