"""What becomes of a run's past: generations, endings."""

from __future__ import annotations

from ...journal.entry import Kind, verify_chain
from ...journal.state import ENDINGS, RunStatus
from ...journal.store import Append, Change, Store
from ..clocks import ManualClock
from ..journals import JournalBuilder
from ._scene import AGENTS, Scene, approval, claimed, enter, record_of, release

__all__ = ["HistoryConformance"]


class HistoryConformance(Scene):
    """Runs that begin again; when a run ended."""

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
        from ._scene import mail

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
