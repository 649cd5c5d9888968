"""Claims: which runs are claimed, in which order, by whom; quarantine, seizing, the moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ...core.errors import Superseded
from ...journal.fleet import Serves, Session
from ...journal.state import ENDINGS, MOVES, RunStatus
from ...journal.store import Change, Store
from ..clocks import ManualClock
from ..journals import JournalBuilder
from ._scene import (
    AGENTS,
    Scene,
    begin,
    claimed,
    enter,
    mail,
    names,
    record_of,
    release,
    run_ref,
    started,
)

__all__ = ["ClaimConformance"]


@pytest.mark.asyncio
class ClaimConformance(Scene):
    """A run belongs to one session at a time, and to none that is gone."""

    # claiming --------------------------------------------------------------------------------------------------

    async def test_a_claim_carries_the_run_and_its_journal(self, store: Store) -> None:
        """Status, session and epoch are those after the claim; the journal is whole; the run is due no more."""
        new = begin(payload=b"in\x00put")
        await store.create(new)
        await enter(store)

        (claim,) = await store.claim("w1", AGENTS, limit=5)

        assert claim.run.status is RunStatus.RUNNING
        assert (claim.run.session, claim.run.epoch, claim.run.next_wake) == ("w1", 1, None)
        assert list(claim.entries) == [new.first]
        assert await record_of(store) == claim.run
        assert await store.claim("w1", AGENTS, limit=5) == []

    async def test_each_claim_raises_the_epoch_by_one(self, store: Store) -> None:
        """Released and claimed again: one more; the reasons of the wait are gone, the journal is longer."""
        for epoch in (1, 2, 3):
            claim = await claimed(store)
            assert claim.run.epoch == epoch
            assert claim.run.reasons == ()
            assert len(claim.entries) == epoch
            assert await release(store, claim.run, RunStatus.WAITING, reasons=("timer",))

    async def test_the_longest_due_is_claimed_first(self, store: Store, clock: ManualClock) -> None:
        """In the order of `next_wake`, whatever the order of creation; what is not due stays."""
        now = clock.micros()
        for name, due in (("third", 3), ("first", 1), ("second", 2), ("later", 100)):
            await started(store, name, due=now + due * 1_000_000)
        await enter(store, lease=3600)
        assert await store.claim("w1", AGENTS, limit=9) == []
        clock.advance(10)

        assert names(await store.claim("w1", AGENTS, limit=1)) == ["first"]
        assert names(await store.claim("w1", AGENTS, limit=9)) == ["second", "third"]
        clock.advance(100)
        assert names(await store.claim("w1", AGENTS, limit=9)) == ["later"]

    async def test_a_run_is_due_at_its_time(self, store: Store, clock: ManualClock) -> None:
        """Not a microsecond before `next_wake`, but at it."""
        claim = await claimed(store)
        assert await release(store, claim.run, RunStatus.WAITING, next_wake=clock.micros() + 2_000_000)

        clock.advance(1.999_999)
        assert await store.claim("w1", AGENTS, limit=9) == []
        clock.advance(0.000_001)
        assert names(await store.claim("w1", AGENTS, limit=9)) == ["r1"]

    async def test_limit_bounds_a_claim(self, store: Store) -> None:
        """No more than `limit`; none for 0; the rest stays for others."""
        for i in range(5):
            await started(store, f"r{i}")
        await enter(store)

        assert await store.claim("w1", AGENTS, limit=0) == []
        assert len(await store.claim("w1", AGENTS, limit=2)) == 2
        assert len(await store.claim("w1", AGENTS, limit=9)) == 3

    async def test_only_the_named_agents_and_versions(self, store: Store) -> None:
        """Name and version go together as pairs; no agents, no claims."""
        for agent, version in (("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")):
            await store.create(begin(agent + version, agent=agent, version=version))
        await enter(store)

        assert await store.claim("w1", [], limit=9) == []
        assert await store.claim("w1", [Serves("a", "3"), Serves("c", "1")], limit=9) == []
        for pairs in ((("a", "2"), ("b", "1")), (("a", "1"), ("b", "2"))):
            claims = await store.claim("w1", [Serves(*pair) for pair in pairs], limit=9)
            assert sorted(names(claims)) == [agent + version for agent, version in pairs]

    async def test_only_claims_that_run_whatever_its_time(self, store: Store, clock: ManualClock) -> None:
        """With `only`: not yet due and waiting for ever are claimed; running elsewhere, ended and unknown are not."""
        await started(store, "due")
        await started(store, "later", due=clock.micros() + 10**12)
        waits = await claimed(store, "waits")
        assert await release(store, waits.run, RunStatus.WAITING)
        over = await claimed(store, "over")
        assert await release(store, over.run, RunStatus.FAILED)
        await claimed(store, "elsewhere", session="w2")

        async def only(name: str) -> list[str]:
            return names(await store.claim("w1", AGENTS, limit=9, only=run_ref(name)))

        assert await only("later") == ["later"]
        assert await only("waits") == ["waits"]
        assert await only("elsewhere") == await only("over") == await only("nobody") == []
        assert (await record_of(store, "elsewhere")).epoch == 1
        assert (await record_of(store, "due")).status is RunStatus.PENDING

    async def test_next_timer(self, store: Store, clock: ManualClock) -> None:
        """The earliest time that has not been seen to pass, of any agent; None where no run waits for a time."""
        now = clock.micros()
        assert await store.next_timer() is None
        await started(store, "ready")
        assert await store.next_timer() is None
        await started(store, "late", due=now + 9)
        await store.create(begin("other", agent="other", due=now + 5))
        assert await store.next_timer() == now + 5
        await enter(store)

        clock.advance(0.000_005)
        assert names(await store.claim("w1", AGENTS, limit=9)) == ["ready"]
        assert await store.next_timer() == now + 9, (
            "a claim sees that a time has come, whoever serves that run"
        )
        clock.advance(0.000_004)
        assert names(await store.claim("w1", AGENTS, limit=9)) == ["late"]

        assert await store.next_timer() is None

    async def test_claims_at_once_take_each_run_once(self, store: Store, second: Store | None) -> None:
        """Two workers, in two processes where there are two, claim until nothing is left: no run twice."""
        for i in range(40):
            await started(store, f"r{i}")
        stores = [store, second or store]
        await enter(store, "w0")
        await enter(store, "w1")
        taken: list[str] = []

        async def work(n: int) -> None:
            while claims := await stores[n].claim(f"w{n}", AGENTS, limit=3):
                assert all(claim.run.session == f"w{n}" and claim.run.epoch == 1 for claim in claims)
                taken.extend(names(claims))

        await asyncio.gather(work(0), work(1))

        assert sorted(taken) == sorted(f"r{i}" for i in range(40))

    async def test_wake_makes_a_run_due_now(self, store: Store, clock: ManualClock) -> None:
        """Pending for later and waiting for ever become due; their status stays; running and ended do not change."""
        await started(store, "later", due=clock.micros() + 10**12)
        for name, status in (
            ("waits", RunStatus.WAITING),
            ("over", RunStatus.FAILED),
            ("bad", RunStatus.QUARANTINED),
        ):
            claim = await claimed(store, name)
            assert await release(store, claim.run, status)
        await claimed(store, "runs")
        clock.advance(1)

        for name in ("later", "waits", "over", "bad", "runs"):
            before = await record_of(store, name)
            await store.wake(run_ref(name))
            after = await record_of(store, name)
            assert (after.status, after.epoch) == (before.status, before.epoch)
            assert after.next_wake == (clock.micros() if name in ("later", "waits") else None), name

    # quarantine, seizing ---------------------------------------------------------------------------------------

    async def test_quarantine_is_left_by_reset_only(self, store: Store, clock: ManualClock) -> None:
        """`wake(reset=True)`: pending, due now, counters at zero, the epoch kept, so that no old owner comes back."""
        await claimed(store)
        await store.expire("w1")
        await store.recover()
        claim = await claimed(store)
        assert await release(store, claim.run, RunStatus.QUARANTINED, reasons=("it died alone twice",))
        held = await record_of(store)
        assert (held.unclean, held.next_wake, held.reasons) == (1, None, ("it died alone twice",))
        await store.wake(run_ref())
        assert await record_of(store) == held
        assert await store.claim("w1", AGENTS, limit=9) == []
        clock.advance(1)

        await store.wake(run_ref(), reset=True)

        record = await record_of(store)
        assert (record.status, record.next_wake, record.epoch) == (RunStatus.PENDING, clock.micros(), 2)
        assert (record.unclean, record.alone_deaths, record.reasons) == (0, 0, ())
        assert names(await store.claim("w1", AGENTS, limit=9)) == ["r1"]

    async def test_reset_does_not_raise_the_ended(self, store: Store) -> None:
        """No other ending is left, and a running run is not disturbed."""
        for status in sorted(ENDINGS - {RunStatus.QUARANTINED}):
            claim = await claimed(store, status)
            assert await release(store, claim.run, status)
            before = await record_of(store, status)
            await store.wake(run_ref(status), reset=True)
            assert await record_of(store, status) == before
        runs = await claimed(store, "runs")
        await store.wake(run_ref("runs"), reset=True)
        assert await record_of(store, "runs") == runs.run

    @pytest.mark.parametrize("status", sorted(ENDINGS))
    async def test_a_run_that_has_ended_is_never_due(
        self, store: Store, status: RunStatus, clock: ManualClock
    ) -> None:
        """Also where the release that ended it carries a time: the run is not claimed again, and not waited for."""
        claim = await claimed(store)
        assert await release(store, claim.run, status, next_wake=clock.micros() - 1)

        assert (await record_of(store)).next_wake is None
        assert await store.next_timer() is None
        assert await store.claim("w1", AGENTS, limit=9) == []
        assert (await record_of(store)).status == status

    @pytest.mark.parametrize("status", [RunStatus.PENDING, RunStatus.WAITING, RunStatus.RUNNING])
    async def test_seize_takes_the_run(self, store: Store, status: RunStatus) -> None:
        """From an owner or from none: running, no session, epoch + 1, the journal whole; who seized it can end it."""
        claim = await claimed(store)
        if status is not RunStatus.RUNNING:
            assert await release(store, claim.run, status, next_wake=1)

        seized = await store.seize(run_ref())

        assert seized is not None
        assert seized.run.status is RunStatus.RUNNING
        assert (seized.run.epoch, seized.run.session, seized.run.next_wake) == (2, None, None)
        assert list(seized.entries) == await store.read(run_ref())
        assert seized.tenant_key == await store.tenant_key("default", subject=seized.run.subject)
        with pytest.raises(Superseded):
            await store.append(JournalBuilder.of(claim.run).append(b"late"))
        assert await store.claim("w1", AGENTS, limit=9) == []
        assert await store.claim("w1", AGENTS, limit=9, only=run_ref()) == []
        assert await release(store, seized.run, RunStatus.CANCELLED)
        assert await store.seize(run_ref()) is None
        assert (await record_of(store)).epoch == 2

    async def test_a_seized_run_outlives_its_owners_end(self, store: Store) -> None:
        """Neither the end nor the death of the session that had it gives a seized run back."""
        await claimed(store)
        seized = await store.seize(run_ref())
        assert seized is not None

        await store.expire("w1")
        assert await store.recover() == 0
        await store.deregister("w1")

        assert await release(store, seized.run, RunStatus.CANCELLED)

    async def test_a_seized_run_that_nobody_ends_is_due_again(self, store: Store, clock: ManualClock) -> None:
        """Whoever seized it died: within an hour, recovery makes it due, so that no run is lost."""
        await claimed(store)
        await store.seize(run_ref())
        clock.advance(3600)

        await store.recover()

        record = await record_of(store)
        assert (record.status, record.next_wake) == (RunStatus.PENDING, clock.micros())

    # moves -----------------------------------------------------------------------------------------------------

    async def test_the_moves_between_states_are_those_of_the_picture(
        self, store: Store, clock: ManualClock
    ) -> None:
        """From each state by each way that a store has: only moves of `MOVES`, and of those all but the indirect.

        A pending or waiting run is cancelled by way of `seize`, and a waiting run becomes pending by `reset`.
        """
        seen: set[tuple[RunStatus, RunStatus]] = set()
        ways = _ways(store)
        for status in RunStatus:
            for way, act in ways.items():
                name = f"{status}.{way}"
                await _bring(store, name, status)
                await act(name)
                after = (await record_of(store, name)).status
                assert after == status or after in MOVES.get(status, ()), f"{status} -> {after} by {way}"
                if after != status:
                    seen.add((status, after))

        indirect = {(s, RunStatus.CANCELLED) for s in (RunStatus.PENDING, RunStatus.WAITING)}
        assert seen == {(a, b) for a, after in MOVES.items() for b in after} - indirect


def _ways(store: Store) -> dict[str, Callable[[str], Awaitable[object]]]:
    async def claim(name: str) -> None:
        await enter(store, "claims")
        await store.claim("claims", AGENTS, limit=1, only=run_ref(name))

    async def die(name: str) -> None:
        await store.expire(f"of-{name}")
        await store.recover()

    async def post(name: str) -> None:
        if not await store.ended([run_ref(name)]):
            await store.post(mail(to=name))

    async def change(name: str) -> None:
        record = await record_of(store, name)
        if record.status is RunStatus.RUNNING:
            await store.append(JournalBuilder.of(record).append(b"1", change=Change(progress="{}")))

    def end(status: RunStatus) -> Callable[[str], Awaitable[object]]:
        async def way(name: str) -> None:
            record = await record_of(store, name)
            if record.status is RunStatus.RUNNING:
                assert await release(store, record, status)

        return way

    return {
        "claim": claim,
        "die": die,
        "post": post,
        "change": change,
        "create": lambda name: store.create(begin(name)),
        "deregister": lambda name: store.deregister(f"of-{name}"),
        "expire": lambda name: store.expire(f"of-{name}"),
        "seize": lambda name: store.seize(run_ref(name)),
        "wake": lambda name: store.wake(run_ref(name)),
        "reset": lambda name: store.wake(run_ref(name), reset=True),
        "renew": lambda name: asyncio.wrap_future(store.renew(Session(id=f"of-{name}", lease=30_000_000))),
        **{f"release.{status}": end(status) for status in RunStatus if status is not RunStatus.RUNNING},
    }


async def _bring(store: Store, name: str, status: RunStatus) -> None:
    """A new run, brought into `status`; the session that has or had it is `of-{name}`."""
    if status is RunStatus.PENDING:
        await started(store, name)
        return
    claim = await claimed(store, name, session=f"of-{name}")
    if status is not RunStatus.RUNNING:
        assert await release(store, claim.run, status)
