"""Sessions: leases, recovery and its counters, and runs that are handed over to a process of their own."""

from __future__ import annotations

import asyncio
from threading import Thread

import pytest

from ...core.errors import Superseded
from ...journal.state import RunStatus
from ...journal.store import RunRecord, Store
from ..clocks import ManualClock
from ..journals import JournalBuilder
from ._scene import AGENTS, LEASE, Scene, claimed, enter, names, record_of, release, renewed, run_ref, started

__all__ = ["SessionConformance"]


async def worked(store: Store, run: RunRecord) -> None:
    """The owner brings a new result."""
    assert await store.append(JournalBuilder.of(run).append(b"a new result"))


@pytest.mark.asyncio
class SessionConformance(Scene):
    """A session that is not renewed loses its runs; deaths without a result are counted."""

    # sessions and leases ---------------------------------------------------------------------------------------

    async def test_a_renewed_lease_holds(self, store: Store, clock: ManualClock) -> None:
        """While it is renewed in time, nothing is taken, and a renewal may come from another thread."""
        session = await enter(store)
        await claimed(store)
        results: list[bool] = []
        for _ in range(5):
            clock.advance(LEASE * 0.9)
            thread = Thread(target=lambda: results.append(store.renew(session).result(30)))
            thread.start()
            await asyncio.to_thread(thread.join)
            assert await store.recover() == 0

        assert results == [True] * 5
        assert (await record_of(store)).status is RunStatus.RUNNING

    async def test_a_lease_that_runs_out_loses_its_runs(self, store: Store, clock: ManualClock) -> None:
        """All runs of the session, and only those, become pending and due; the epoch stays until the next claim."""
        await claimed(store, "a")
        await claimed(store, "b")
        clock.advance(LEASE / 2)
        await claimed(store, "c", session="w2")
        assert await store.recover() == 0
        clock.advance(LEASE / 2 + 0.001)

        assert await store.recover() == 2

        for name in ("a", "b"):
            record = await record_of(store, name)
            assert (record.status, record.session, record.epoch) == (RunStatus.PENDING, None, 1)
            assert record.next_wake == clock.micros()
        assert (await record_of(store, "c")).session == "w2"
        assert await store.recover() == 0
        again = await claimed(store, "a", session="w2")
        assert again.run.epoch == 2

    async def test_a_session_that_is_gone_cannot_be_renewed(self, store: Store, clock: ManualClock) -> None:
        """After recovery, after its clean end, or where there never was one: False."""
        await enter(store, "slow")
        clock.advance(LEASE + 1)
        await store.recover()
        await enter(store, "done")
        await store.deregister("done")

        assert not await renewed(store, "slow")
        assert not await renewed(store, "done")
        assert not await renewed(store, "nobody")
        await enter(store, "slow")
        assert await renewed(store, "slow")

    async def test_a_session_that_is_gone_keeps_no_run(self, store: Store, clock: ManualClock) -> None:
        """A worker that slept through the loss of its lease and then claims: nothing, or nothing that lasts."""
        await started(store)
        await enter(store, "slow")
        clock.advance(LEASE + 1)
        await store.recover()

        await store.claim("slow", AGENTS, limit=9)
        await store.recover()

        await enter(store, "w2")
        assert names(await store.claim("w2", AGENTS, limit=9)) == ["r1"]

    async def test_a_lost_run_is_closed_to_its_old_owner(self, store: Store, clock: ManualClock) -> None:
        """After recovery and a new claim, the late append of the old owner is refused."""
        old = await claimed(store)
        clock.advance(LEASE + 1)
        await store.recover()
        new = await claimed(store, session="w2")

        with pytest.raises(Superseded):
            await store.append(JournalBuilder.of(old.run).append(b"late"))
        assert await store.append(JournalBuilder.of(new.run).append(b"fine"))

    async def test_expire_ends_a_lease_at_once(self, store: Store) -> None:
        """The process is known to be dead: the next recovery takes its runs without waiting; others are not touched."""
        await claimed(store)
        await claimed(store, "r2", session="w2")

        await store.expire("w1")
        await store.expire("nobody")

        assert await store.recover() == 1
        record = await record_of(store)
        assert (record.status, record.unclean) == (RunStatus.PENDING, 1)
        assert (await record_of(store, "r2")).status is RunStatus.RUNNING

    async def test_a_clean_end_is_not_counted(self, store: Store, clock: ManualClock) -> None:
        """`deregister`: what was held is pending and due, and the counters stay as they were."""
        await claimed(store)
        await store.expire("w1")
        await store.recover()
        await claimed(store)
        await claimed(store, "r2", session="w2")
        clock.advance(1)

        await store.deregister("w1")

        record = await record_of(store)
        assert (record.status, record.session, record.unclean) == (RunStatus.PENDING, None, 1)
        assert record.next_wake == clock.micros()
        assert (await record_of(store, "r2")).session == "w2"
        await store.deregister("nobody")

    # unclean claims --------------------------------------------------------------------------------------------

    async def test_deaths_without_a_result_are_counted(self, store: Store) -> None:
        """Each death without a new result adds one; entries that are no results do not help."""
        for n in (1, 2, 3):
            claim = await claimed(store)
            assert await store.append(JournalBuilder.of(claim.run).append(b"intent", results=0))
            await store.expire("w1")
            assert await store.recover() == 1
            record = await record_of(store)
            assert (record.unclean, record.alone_deaths) == (n, 0)

    async def test_a_death_after_a_result_is_not_counted(self, store: Store) -> None:
        """A new result sets the count to zero, at once and at the next death; older results do not count."""
        for n in (1, 2):
            await claimed(store)
            await store.expire("w1")
            await store.recover()
            assert (await record_of(store)).unclean == n

        claim = await claimed(store)
        await worked(store, claim.run)
        assert (await record_of(store)).unclean == 0
        await store.expire("w1")
        await store.recover()
        assert (await record_of(store)).unclean == 0

        await claimed(store)
        await store.expire("w1")
        await store.recover()
        assert (await record_of(store)).unclean == 1

    async def test_a_release_leaves_the_count(self, store: Store) -> None:
        """A segment that ends well but without a result neither adds to the count nor clears it."""
        await claimed(store)
        await store.expire("w1")
        await store.recover()
        claim = await claimed(store)

        assert await release(store, claim.run, RunStatus.WAITING)

        assert (await record_of(store)).unclean == 1

    # handing over ----------------------------------------------------------------------------------------------

    async def test_a_run_is_handed_over(self, store: Store) -> None:
        """The new session claims it with `only` under a new epoch; the old owner's appends are refused from then."""
        claim = await claimed(store)
        await enter(store, "alone")

        await store.hand_over(claim.run.rid, claim.run.epoch, "alone")

        record = await record_of(store)
        assert (record.status, record.session) == (RunStatus.RUNNING, "alone")
        assert await store.claim("w1", AGENTS, limit=9, only=run_ref()) == []
        assert await store.claim("alone", AGENTS, limit=9) == []
        (taken,) = await store.claim("alone", AGENTS, limit=1, only=run_ref())
        assert (taken.run.session, taken.run.epoch) == ("alone", claim.run.epoch + 1)
        with pytest.raises(Superseded):
            await store.append(JournalBuilder.of(claim.run).append(b"late"))
        assert await store.append(JournalBuilder.of(taken.run).append(b"fine"))

    async def test_a_run_that_was_lost_is_not_handed_over(self, store: Store) -> None:
        """`Superseded` for a stale epoch, a run without an owner, and an unknown run; nothing changes."""
        claim = await claimed(store)
        await enter(store, "alone")

        with pytest.raises(Superseded):
            await store.hand_over(claim.run.rid, claim.run.epoch - 1, "alone")
        with pytest.raises(Superseded):
            await store.hand_over(10**9, 1, "alone")
        assert (await record_of(store)).session == "w1"
        await store.deregister("w1")
        with pytest.raises(Superseded):
            await store.hand_over(claim.run.rid, claim.run.epoch, "alone")
        assert (await record_of(store)).session is None

    async def test_deaths_alone_are_counted_apart(self, store: Store) -> None:
        """A death in a process of its own counts in both; a later death among others only in `unclean`."""
        for n in (1, 2):
            claim = await claimed(store)
            await enter(store, "alone")
            await store.hand_over(claim.run.rid, claim.run.epoch, "alone")
            if n == 2:
                await store.claim("alone", AGENTS, limit=1, only=run_ref())
            await store.expire("alone")
            assert await store.recover() == 1
            record = await record_of(store)
            assert (record.unclean, record.alone_deaths) == (n, n)

        await claimed(store)
        await store.expire("w1")
        await store.recover()
        record = await record_of(store)
        assert (record.unclean, record.alone_deaths) == (3, 2)

    async def test_a_result_alone_clears_both_counts(self, store: Store) -> None:
        """A new result clears `alone_deaths` too, and the death after it is not counted."""
        for works in (False, True):
            claim = await claimed(store)
            await enter(store, "alone")
            await store.hand_over(claim.run.rid, claim.run.epoch, "alone")
            (taken,) = await store.claim("alone", AGENTS, limit=1, only=run_ref())
            if works:
                await worked(store, taken.run)
                record = await record_of(store)
                assert (record.unclean, record.alone_deaths) == (0, 0)
            await store.expire("alone")
            await store.recover()

        record = await record_of(store)
        assert (record.unclean, record.alone_deaths) == (0, 0)

    async def test_a_clean_release_ends_being_alone(self, store: Store) -> None:
        """Alone is a property of the claim: after a release the next death is one among others."""
        claim = await claimed(store)
        await enter(store, "alone")
        await store.hand_over(claim.run.rid, claim.run.epoch, "alone")
        (taken,) = await store.claim("alone", AGENTS, limit=1, only=run_ref())
        assert await release(store, taken.run, RunStatus.WAITING)

        await claimed(store)
        await store.expire("w1")
        await store.recover()

        record = await record_of(store)
        assert (record.unclean, record.alone_deaths) == (1, 0)

    async def test_seizing_ends_being_alone(self, store: Store, clock: ManualClock) -> None:
        """A run that was handed over, seized and given up: its next death is one among others."""
        claim = await claimed(store)
        await enter(store, "alone")
        await store.hand_over(claim.run.rid, claim.run.epoch, "alone")
        await store.seize(run_ref())
        clock.advance(3600)
        await store.recover()

        await claimed(store)
        await store.expire("w1")
        await store.recover()

        record = await record_of(store)
        assert (record.unclean, record.alone_deaths) == (1, 0)
