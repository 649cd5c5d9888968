"""Cells: amended by many at once, alone or with an append; and what is added to a journal behind its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ...core.errors import RunNotEnded, RunPruned, Superseded
from ...core.ids import DEFAULT_TENANT
from ...journal.cells import Amendment, Cell, CellKey
from ...journal.entry import Kind, verify_chain
from ...journal.state import RunStatus
from ...journal.store import Append, Change, Store
from ..clocks import ManualClock
from ..journals import JournalBuilder
from ._scene import AGENTS, Scene, begin, claimed, enter, mail, record_of, release, run_ref

__all__ = ["CellConformance"]

Cells = Mapping[CellKey, Cell]


class Broke(Exception):
    """What an amendment raises."""


def key(name: str = "spent", *, kind: str = "budget", tenant: str = DEFAULT_TENANT) -> CellKey:
    """The name of a cell of the suite."""
    return CellKey(tenant, kind, name)


def adds(*keys: CellKey, amount: int = 1) -> Amendment:
    """Raises each number by `amount`; the result is the first."""

    def change(there: Cells, now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        after = {k: (int(there[k].data) if k in there else 0) + amount for k in keys}
        return {k: Cell(str(n).encode()) for k, n in after.items()}, after[keys[0]]

    return Amendment(keys, change)


def puts(written: Mapping[CellKey, Cell | None]) -> Amendment:
    """Writes just this."""
    return Amendment(list(written), lambda there, now: (written, None))


def raises(*keys: CellKey) -> Amendment:
    """Raises `Broke`."""

    def change(there: Cells, now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        raise Broke("no")

    return Amendment(keys, change)


async def number(store: Store, of: CellKey) -> int | None:
    """The number in a cell; None where it is not there."""
    found = dict(await store.cells(of.kind, tenant=of.tenant, prefix=of.name))
    return int(found[of].data) if of in found else None


@pytest.mark.asyncio
class CellConformance(Scene):
    """All or nothing, one after the other, and as durable as the append that it comes with."""

    async def test_an_amendment_gets_what_is_there_and_the_time(
        self, store: Store, clock: ManualClock
    ) -> None:
        """Of the cells that it names those that exist, byte for byte; what it returns is handed out."""
        there = {key("a"): Cell(b'{"x": "\\u0000 \xc3\xa9"}', 5), key("b"): Cell(b"", None)}
        await store.amend(puts(there))
        seen: list[tuple[Cells, int]] = []

        def change(found: Cells, now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            seen.append((dict(found), now))
            return {}, "told"

        amendment = Amendment([key("a"), key("b"), key("not there")], change)
        assert await store.amend(amendment) == "told"

        assert amendment.result == "told"
        assert seen[-1] == (there, clock.micros())

    async def test_cells_are_written_and_deleted_together(self, store: Store) -> None:
        """In every mixture: new, changed, deleted, deleted though not there, left as they are."""
        names = [key(name) for name in "abcde"]
        await store.amend(puts({names[0]: Cell(b"1"), names[1]: Cell(b"1", 7), names[2]: Cell(b"1")}))

        await store.amend(
            puts({names[0]: Cell(b"2", 9), names[1]: None, names[3]: Cell(b"2"), names[4]: None})
        )

        assert await store.cells("budget") == [
            (names[0], Cell(b"2", 9)),
            (names[2], Cell(b"1", None)),
            (names[3], Cell(b"2", None)),
        ]

    async def test_what_an_amendment_raises_reaches_who_asked_for_it_and_hurts_nobody_else(
        self, store: Store
    ) -> None:
        """Also in the middle of one batch, in which the same cell is amended before and after."""
        run = (await claimed(store)).run
        builder = JournalBuilder.of(run)
        done = await asyncio.gather(
            store.amend(adds(key())),
            store.append(builder.append(b"1")),
            store.amend(raises(key())),
            store.append(builder.append(b"2")),
            store.amend(adds(key())),
            return_exceptions=True,
        )

        assert [type(d) if isinstance(d, Exception) else d for d in done] == [1, True, Broke, True, 2]
        assert await number(store, key()) == 2
        assert (await record_of(store)).head == builder.head

    async def test_an_amendment_writes_only_what_it_names(self, store: Store) -> None:
        """What it does not name nobody has locked."""
        stray = Amendment([key("a")], lambda there, now: ({key("b"): Cell(b"1")}, None))
        with pytest.raises(ValueError, match="not among its keys"):
            await store.amend(stray)
        assert await store.cells("budget") == []

    async def test_a_cell_may_be_deleted_and_made_again_in_one_batch(self, store: Store) -> None:
        """Each amendment sees what the one before it left."""
        await store.amend(adds(key(), amount=5))
        results = await asyncio.gather(
            store.amend(puts({key(): None})),
            store.amend(adds(key())),
            store.amend(adds(key("other"))),
            store.amend(puts({key("other"): None})),
        )
        assert results == [None, 1, 1, None]
        assert await store.cells("budget") == [(key(), Cell(b"1"))]

    async def test_nothing_is_lost_where_two_stores_amend_one_new_cell(
        self, store: Store, other: Store
    ) -> None:
        """A thousand times in all, in batches of every size, beginning with a cell that is not there."""

        async def many(each: Store) -> list[int]:
            found: list[int] = []
            for size in (1, 1, 1, 7, 40, 150, 300):
                found += await asyncio.gather(*(each.amend(adds(key())) for _ in range(size)))
            return found

        one, two = await asyncio.gather(many(store), many(other))

        assert sorted(one + two) == list(range(1, 1001))
        assert await number(store, key()) == await number(other, key()) == 1000

    async def test_two_stores_that_make_and_delete_the_same_cells_do_not_stop_each_other(
        self, store: Store, other: Store
    ) -> None:
        """In opposite orders, each batch several of them: nobody waits in a circle, and nothing is counted twice."""
        names = [key(f"n{n}") for n in range(6)]

        def moves(source: CellKey, target: CellKey) -> Amendment:
            """Takes one from a cell, which is deleted when it is empty, and adds it to another."""

            def change(there: Cells, now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
                if source not in there:
                    return {}, False
                left = int(there[source].data) - 1
                more = int(there[target].data) + 1 if target in there else 1
                return {
                    source: Cell(str(left).encode()) if left else None,
                    target: Cell(str(more).encode()),
                }, True

            return Amendment([target, source], change)

        await store.amend(puts({names[0]: Cell(b"3"), names[3]: Cell(b"3")}))

        async def shift(each: Store, step: int) -> None:
            for _ in range(25):
                order = names[::step]
                await asyncio.gather(
                    *(each.amend(moves(a, b)) for a, b in zip(order, order[1:] + order[:1], strict=True))
                )

        await asyncio.gather(shift(store, 1), shift(other, -1))

        assert sum(int(cell.data) for _, cell in await store.cells("budget")) == 6

    # listing ---------------------------------------------------------------------------------------------------

    async def test_cells_are_listed_in_the_order_of_their_keys(self, store: Store) -> None:
        """By kind; of one tenant or of all; by the beginning of the name; page by page."""
        keys = [
            key(name, tenant=tenant)
            for tenant in ("B", "a", "é")
            for name in ("Z", "a", "a/1", "a/2", "a0", "b%", "b_", "\uffff", "\U0001f600")
        ]
        await store.amend(puts({k: Cell(b"1") for k in [*reversed(keys), key(kind="rate")]}))

        async def listed(**filters: Any) -> list[CellKey]:
            return [k for k, _ in await store.cells("budget", **filters)]

        assert await listed() == keys == sorted(keys)
        assert await listed(tenant="a") == keys[9:18]
        assert await listed(tenant="a", prefix="a/") == keys[11:13]
        assert await listed(prefix="a/") == [k for k in keys if k.name.startswith("a/")]
        assert await listed(tenant="a", prefix="b%") == keys[14:15]
        assert await listed(tenant="a", prefix="\U0001f600") == keys[17:18]
        assert await listed(tenant="nobody") == []
        pages: list[CellKey] = []
        while page := await listed(after=pages[-1] if pages else None, limit=4):
            pages += page
        assert pages == keys

    # what is due -----------------------------------------------------------------------------------------------

    async def test_what_is_due_comes_longest_due_first(self, store: Store, clock: ManualClock) -> None:
        """From the moment on that it names; of its kind; not what is never due."""
        now = clock.micros()
        await store.amend(
            puts(
                {
                    key("later", kind="notice"): Cell(b"1", now + 1),
                    key("now", kind="notice"): Cell(b"2", now),
                    key("long", kind="notice", tenant="z"): Cell(b"3", now - 5),
                    key("never", kind="notice"): Cell(b"4"),
                    key("other", kind="cache"): Cell(b"5", now - 9),
                }
            )
        )

        async def due(limit: int = 100) -> list[str]:
            return [k.name for k, _ in await store.due_cells("notice", limit=limit)]

        assert await due() == ["long", "now"]
        assert await due(limit=1) == ["long"]
        clock.advance(1)
        assert await due() == ["long", "now", "later"]

    async def test_what_was_due_before_is_forgotten(self, store: Store, clock: ManualClock) -> None:
        """Of its kind, the oldest first, so many at once; what is amended next to it is made anew."""
        now = clock.micros()
        made = {key(f"n{n}", kind="cache"): Cell(b"7", now + n) for n in range(5)}
        await store.amend(
            puts(made | {key("x", kind="cache"): Cell(b"1"), key("y", kind="rate"): Cell(b"1", 1)})
        )

        assert await store.forget_cells("cache", before=now + 4, limit=2) == 2
        assert [k.name for k, _ in await store.cells("cache")] == ["n2", "n3", "n4", "x"]
        counted, after, gone = await asyncio.gather(
            store.amend(adds(key("n2", kind="cache"))),  # which is never due from then on
            store.forget_cells("cache", before=now + 4),
            store.amend(adds(key("n3", kind="cache"))),
        )

        assert (counted, after, gone) == (8, 1, 1)
        assert [k.name for k, _ in await store.cells("cache")] == ["n2", "n3", "n4", "x"]
        assert len(await store.cells("rate")) == 1

    # with a run ------------------------------------------------------------------------------------------------

    async def test_amendments_come_with_an_append(self, store: Store) -> None:
        """One after the other, in the same transaction as the entries; each has its result."""
        run = (await claimed(store)).run
        first, second = adds(key()), adds(key(), key("b"), amount=2)
        append = JournalBuilder.of(run).append(b"1", change=Change(amendments=[first, second]))

        assert await store.append(append)

        assert (first.result, second.result) == (1, 3)
        assert (await number(store, key()), await number(store, key("b"))) == (3, 2)
        assert (await record_of(store)).head == append.entries[-1].seq

    async def test_what_an_amendment_raises_fails_its_append_alone(self, store: Store) -> None:
        """The exception comes as it is; no entry, no other amendment of it, no message is left; others are not hurt."""
        run, beside = (await claimed(store)).run, (await claimed(store, "r2")).run
        builder, good = JournalBuilder.of(run), JournalBuilder.of(beside)
        change = Change(amendments=[adds(key()), raises(key("b"))], posts=[mail(to="r2")], progress="{}")
        bad = builder.append(b"1", change=change)
        done = await asyncio.gather(
            store.amend(adds(key())),
            store.append(bad),
            store.append(good.append(b"1", change=Change(amendments=[adds(key())]))),
            return_exceptions=True,
        )

        assert [type(d) if isinstance(d, Exception) else d for d in done] == [2, Broke, True]
        assert await number(store, key()) == 2
        assert await record_of(store) == replace(run, updated_at=(await record_of(store)).updated_at)
        assert await store.inbox(beside.rid, after=0) == []
        again = JournalBuilder.of(run).append(b"1", change=Change(amendments=[adds(key())]))
        assert await store.append(again), "the run goes on"
        assert await number(store, key()) == 3

    async def test_an_append_that_is_refused_amends_nothing(self, store: Store) -> None:
        """Where the fence does not hold, and where a release is refused; nor does what it would raise matter."""
        run = (await claimed(store)).run
        await store.post(mail())
        builder = JournalBuilder.of(run)
        for amendment in (adds(key()), raises(key())):
            stale = JournalBuilder.of(replace(run, epoch=run.epoch - 1))
            with pytest.raises(Superseded):
                await store.append(stale.append(b"1", change=Change(amendments=[amendment])))
            entry = JournalBuilder.of(run).entry(Kind.SUSPENDED, payload=b"{}")
            change = Change(status=RunStatus.WAITING, drained=0, amendments=[amendment])
            assert not await store.append(Append(run.rid, run.epoch, run.head, [entry], change=change))
            assert amendment.result is None
        assert await store.cells("budget") == []
        assert await store.append(builder.append(b"1", change=Change(amendments=[adds(key())])))

    async def test_amendments_come_with_a_release(self, store: Store) -> None:
        """What a run had set aside goes back in the transaction in which it ends."""
        run = (await claimed(store)).run
        entry = JournalBuilder.of(run).entry(Kind.ENDED, payload=b'{"status":"succeeded"}')
        change = Change(status=RunStatus.SUCCEEDED, drained=0, amendments=[adds(key())])
        assert await store.append(Append(run.rid, run.epoch, run.head, [entry], change=change))
        assert await number(store, key()) == 1

    async def test_amendments_come_with_a_new_run(self, store: Store) -> None:
        """Once: not again where the run is there already. What one raises keeps the run from being made."""
        with pytest.raises(Broke):
            await store.create(replace(begin(), amendments=[adds(key()), raises(key())]))
        assert await store.get(run_ref()) is None
        for fresh in (True, False):
            _, new = await store.create(replace(begin(), amendments=[adds(key())]))
            assert new is fresh
        assert await number(store, key()) == 1

    # behind the end --------------------------------------------------------------------------------------------

    async def test_what_became_of_a_run_is_added_behind_its_end(
        self, store: Store, clock: ManualClock
    ) -> None:
        """Chained, under the run's last epoch, at the store's time; with amendments; large ones, too."""
        run = (await claimed(store)).run
        assert await release(store, run, RunStatus.FAILED)
        clock.advance(60)
        large = b'"' + b"x" * 100_000 + b'"'
        made = [
            await store.annotate(
                run.ref, Kind.OUTCOME, b'{"met":false}', actor="ada", amendments=[adds(key())]
            ),
            await store.annotate(run.ref, Kind.ESCALATION, large, actor="bot", key="to:ops"),
        ]
        record, journal = await record_of(store), await store.read(run.ref)

        assert journal[-2:] == made
        first = journal[-2]
        assert (first.kind, first.key, first.actor, first.payload) == (
            Kind.OUTCOME,
            "",
            "ada",
            b'{"met":false}',
        )
        assert (first.at, first.epoch) == (clock.micros(), run.epoch)
        assert verify_chain(run.ref, journal, whole=True) == (record.head, record.head_hash)
        assert (record.status, record.ended_at) == (RunStatus.FAILED, clock.micros() - 60_000_000)
        assert await number(store, key()) == 1

    async def test_nothing_is_added_to_a_run_that_goes_on_or_is_not_there_or_was_pruned(
        self, store: Store
    ) -> None:
        """Neither the entry nor the amendment."""

        async def annotate(name: str) -> Any:
            return await store.annotate(
                run_ref(name), Kind.OUTCOME, b"{}", actor="ada", amendments=[adds(key())]
            )

        live, over = (await claimed(store, "live")).run, (await claimed(store, "over")).run
        assert await release(store, over, RunStatus.SUCCEEDED)
        await store.prune(over.ref)

        assert await annotate("nobody") is None
        with pytest.raises(RunNotEnded, match="has not ended; send it a message"):
            await annotate("live")
        with pytest.raises(RunPruned):
            await annotate("over")

        assert await store.cells("budget") == []
        assert await store.append(JournalBuilder.of(live).append(b"1"))

    async def test_what_an_amendment_raises_adds_nothing(self, store: Store) -> None:
        """And reaches who asked for it."""
        run = (await claimed(store)).run
        assert await release(store, run, RunStatus.SUCCEEDED)
        before = await store.read(run.ref)
        with pytest.raises(Broke):
            await store.annotate(run.ref, Kind.OUTCOME, b"{}", actor="ada", amendments=[raises(key())])
        assert await store.read(run.ref) == before

    async def test_a_run_that_was_annotated_in_quarantine_is_let_go_on(self, store: Store) -> None:
        """Its worker goes on from the annotation; pruned later, the chain holds."""
        run = (await claimed(store)).run
        assert await release(store, run, RunStatus.QUARANTINED)
        await store.annotate(run.ref, Kind.ESCALATION, b"{}", actor="bot")
        await store.wake(run.ref, reset=True)
        await enter(store)
        (claim,) = await store.claim("w1", AGENTS, limit=1)
        assert claim.entries[-1].kind == Kind.ESCALATION
        assert await release(store, claim.run, RunStatus.SUCCEEDED)
        await store.annotate(run.ref, Kind.OUTCOME, b"{}", actor="ada")

        assert await store.prune(run.ref) == len(await store.read(run.ref))
        record = await record_of(store)
        assert verify_chain(run.ref, await store.read(run.ref)) == (record.head, record.head_hash)

    async def test_news_are_told_where_they_are_asked_for(self, store: Store) -> None:
        """An amendment is none by itself, so that a worker does not look for work after each."""
        seen = store.changes()
        await store.amend(adds(key()), news=True)
        await store.changed(seen, within=10)
        assert store.changes() != seen
