"""The audit log: every head that moved becomes a leaf, once, whoever integrates and however often."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from ...audit import Checkpoint, Frontier, LogGrower, leaf_hash, root_at
from ...core.errors import StoreCorrupt
from ...journal.audit import Growth, KeptCheckpoint, Leaf, TileKey
from ...journal.entry import Kind
from ...journal.state import RunStatus
from ...journal.store import Append, Store
from ..clocks import ManualClock
from ..journals import JournalBuilder
from ._scene import Scene, begin, claimed, record_of, release, run_ref, started

__all__ = ["AuditConformance"]


class Notes(LogGrower):
    """Grows as the real one, and writes a checkpoint that needs no key."""

    def grow(
        self, size: int, edge: Mapping[TileKey, bytes], leaves: Sequence[Leaf], last: KeptCheckpoint | None
    ) -> Growth:
        """With a note that says how large the tree is."""
        grown = super().grow(size, edge, leaves, None)
        return Growth(tiles=grown.tiles, note=f"a tree of {size + len(leaves)}")


async def everything(store: Store) -> list[Leaf]:
    """Integrate what moved; all leaves then, the tree of which is checked."""
    while (done := await store.integrate(LogGrower())).more:
        pass
    found = await store.leaves(limit=1_000_000)
    assert [leaf.n for leaf in found] == list(range(done.size))
    tree = Frontier()
    for leaf in found:
        tree.add(leaf_hash(leaf.data()))
    assert await root_at(store, done.size) == tree.root()
    return found


def told(leaves: Sequence[Leaf]) -> list[tuple[str, int, int]]:
    """Run, head, and the head before, of each."""
    return [(leaf.run.id, leaf.seq, leaf.since) for leaf in leaves]


@pytest.mark.asyncio
class AuditConformance(Scene):
    """Nothing that moved is left out, nothing is there twice, and all of it or nothing is written."""

    async def test_a_new_run_is_a_leaf_and_so_is_each_head_that_was_looked_at(self, store: Store) -> None:
        """Of several entries between two looks the last is the head that counts; it names the one before."""
        run = (await claimed(store)).run
        builder = JournalBuilder.of(run)
        await store.append(builder.append(b"1", b"2"))
        await store.append(builder.append(b"3"))
        first = await everything(store)
        record = await record_of(store)
        assert told(first) == [("r1", 4, 0)]
        assert (first[0].run, first[0].hash) == (run_ref(), record.head_hash)

        await store.append(builder.append(b"4"))
        assert told(await everything(store)) == [("r1", 4, 0), ("r1", 5, 4)]

    async def test_what_has_not_moved_is_no_leaf(self, store: Store) -> None:
        """A claim, a message, a release without entries: the head is the same."""
        await started(store)
        await everything(store)
        claim = await claimed(store)
        await store.wake(claim.run.ref)
        await everything(store)
        assert not (await store.integrate(LogGrower())).leaves
        assert told(await everything(store)) == [("r1", 1, 0)]
        assert not await store.moved()

    async def test_every_way_of_writing_counts(self, store: Store) -> None:
        """A run that is created, that is released, that ends, and what is added behind its end."""
        await started(store, "new")
        waiting = (await claimed(store, "waits")).run
        await release(store, waiting, RunStatus.WAITING)
        ends = (await claimed(store, "ends")).run
        await release(store, ends, RunStatus.SUCCEEDED)
        assert await store.moved()
        found = told(await everything(store))
        assert sorted(found) == [("ends", 2, 0), ("new", 1, 0), ("waits", 2, 0)]
        await store.annotate(ends.ref, Kind.OUTCOME, b"{}", actor="tester")
        assert told(await everything(store))[3:] == [("ends", 3, 2)]

    async def test_large_payloads_and_many_runs_in_one_batch(self, store: Store) -> None:
        """Batches of every kind that a writer makes."""
        runs = [(await claimed(store, f"r{n}")).run for n in range(20)]
        appends: list[Append] = []
        for n, run in enumerate(runs):
            appends.append(JournalBuilder.of(run).append(b"x" * (100_000 if n % 5 == 0 else 10)))
        await asyncio.gather(*(store.append(a) for a in appends))
        found = await everything(store)
        assert sorted(told(found)) == sorted((f"r{n}", 2, 0) for n in range(20))

    async def test_a_refused_append_is_none(self, store: Store) -> None:
        """Who has lost the run moves nothing."""
        run = (await claimed(store)).run
        stale = JournalBuilder(run.ref, head=run.head, last=run.head_hash, epoch=run.epoch - 1, rid=run.rid)
        results = await asyncio.gather(store.append(stale.append(b"1")), return_exceptions=True)
        assert isinstance(results[0], Exception)
        assert told(await everything(store)) == [("r1", 1, 0)]

    async def test_in_parts(self, store: Store) -> None:
        """A limit bounds a transaction; nothing is left out between two."""
        for n in range(25):
            await started(store, f"r{n:02}")
            if n == 12:
                assert (await store.integrate(LogGrower(), limit=5)).leaves
        done = await store.integrate(LogGrower(), limit=7)
        while done.more:
            done = await store.integrate(LogGrower(), limit=7)
        assert sorted(told(await everything(store))) == [(f"r{n:02}", 1, 0) for n in range(25)]

    async def test_a_grower_that_raises_has_done_nothing(self, store: Store) -> None:
        """And hurts nothing that is written beside it."""

        class Broken(LogGrower):
            def grow(
                self,
                size: int,
                edge: Mapping[TileKey, bytes],
                leaves: Sequence[Leaf],
                last: KeptCheckpoint | None,
            ) -> Growth:
                raise StoreCorrupt("the log was cut")

        run = (await claimed(store)).run
        builder = JournalBuilder.of(run)
        failed, appended = await asyncio.gather(
            store.integrate(Broken()), store.append(builder.append(b"1")), return_exceptions=True
        )
        assert isinstance(failed, StoreCorrupt) and appended is True
        assert await store.log_size() == 0
        assert told(await everything(store)) == [("r1", 2, 0)]

    async def test_a_tree_of_many_tiles(self, store: Store) -> None:
        """More leaves than a tile holds: full tiles stay, the last grows."""
        run = (await claimed(store)).run
        builder = JournalBuilder.of(run)
        for n in range(300):
            await started(store, f"r{n}", tenant=f"t{n % 3}")
            if n % 40 == 0:
                await store.append(builder.append(b"1"))
                await store.integrate(LogGrower())
        found = await everything(store)
        assert len(found) > 300
        tiles = await store.tiles([(0, 0), (0, 1), (1, 0), (0, 2), (7, 7)])
        assert {key: len(hashes) // 32 for key, hashes in tiles.items()} == {
            (0, 0): 256,
            (0, 1): len(found) - 256,
            (1, 0): 1,
        }

    async def test_leaves_by_page_and_by_run(self, store: Store) -> None:
        """In their order; those of a run by its number in this store."""
        a, b = (await claimed(store, "a")).run, (await claimed(store, "b", tenant="other")).run
        builders = JournalBuilder.of(a), JournalBuilder.of(b)
        for _ in range(3):
            for builder in builders:
                await store.append(builder.append(b"1"))
            await store.integrate(LogGrower())
        leaves = await everything(store)
        pages = await store.leaves(limit=2) + await store.leaves(after=1, limit=100)
        assert pages == leaves
        of = await store.leaves_of([b.rid, a.rid, 12345])
        assert [(rid, leaf.seq) for rid, leaf in of] == [(r.rid, n) for r in (a, b) for n in (2, 3, 4)]
        assert {leaf.run for rid, leaf in of if rid == b.rid} == {run_ref("b", tenant="other")}

    async def test_the_newest_checkpoint_stays_and_those_that_were_sent(self, store: Store) -> None:
        """So that a log of a checkpoint a second does not grow by one."""
        for n in range(1, 5):
            await started(store, f"r{n}")
            await store.integrate(Notes())
            if n == 2:
                await store.keep_checkpoint(2, "a tree of 2, sent")
        found = await store.checkpoints(limit=10)
        assert [(c.size, c.note, c.kept) for c in found] == [
            (4, "a tree of 4", False),
            (2, "a tree of 2, sent", True),
        ]
        assert await store.checkpoints(limit=10, before=4) == found[1:]
        assert await store.checkpoints() == found[:1]
        await store.keep_checkpoint(3, "a tree of 3, sent late")
        assert [c.size for c in await store.checkpoints(limit=10)] == [4, 3, 2]

    async def test_a_tree_that_nobody_signed_is_signed_without_a_new_leaf(self, store: Store) -> None:
        """Whoever has a key does it; done twice it does nothing."""
        await started(store)
        await store.integrate(LogGrower())
        assert await store.checkpoints() == []
        done = await store.integrate(Notes())
        assert (done.size, done.leaves) == (1, 0)
        assert [c.size for c in await store.checkpoints()] == [1]

    async def test_heads_that_nobody_told_of_are_found(self, store: Store) -> None:
        """By looking at all runs; one that was seen is not told of again."""
        for n in range(5):
            await started(store, f"r{n}")
        await everything(store)
        await started(store, "new")
        after: int | None = 0
        for _ in range(10):
            if after is None:
                break
            after = await store.look_for_moved(after=after, limit=2)
        assert after is None
        assert len(await everything(store)) == 6
        assert await store.look_for_moved() is None
        assert not await store.moved()

    async def test_the_lag(self, store: Store, clock: ManualClock) -> None:
        """How many runs, and since when."""
        assert await store.log_lag() == (0, None)
        await started(store, "a")
        await started(store, "b")
        assert (await store.log_lag()).runs == 2
        await everything(store)
        assert (await store.log_lag()).runs == 0

    async def test_two_at_once_never_fork_the_log(self, store: Store, other: Store) -> None:
        """Several processes integrate while several write: one log comes of it, with every head once."""
        runs = [(await claimed(store, f"r{n}")).run for n in range(6)]

        async def write(builder: JournalBuilder) -> None:
            for _ in range(15):
                await store.append(builder.append(b"1"))

        async def integrate(by: Store) -> None:
            for _ in range(30):
                await by.integrate(Notes(), limit=3)

        await asyncio.gather(
            *(write(JournalBuilder.of(run)) for run in runs),
            integrate(store),
            integrate(other),
            integrate(other),
        )
        found = await everything(store)
        heads: dict[str, int] = {}
        for leaf in found:
            assert leaf.since == heads.get(leaf.run.id, 0) < leaf.seq
            heads[leaf.run.id] = leaf.seq
        assert heads == {f"r{n}": 16 for n in range(6)}
        assert await other.leaves(limit=1_000) == found

    async def test_a_log_that_was_cut_is_not_gone_on_with(self, store: Store) -> None:
        """Where a larger tree was signed, nothing is added and nothing signed."""
        await started(store)
        await store.integrate(LogGrower())
        note = f"{Checkpoint('log', 7, bytes(32)).text()}\n\N{EM DASH} log AAAAAAAA\n"
        await store.keep_checkpoint(7, note)
        await started(store, "r2")
        with pytest.raises(StoreCorrupt, match="was cut"):
            await store.integrate(LogGrower())
        await store.create(begin("r3"))
        assert await store.log_size() == 1
