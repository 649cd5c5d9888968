"""Verifying a whole store: every chain, every leaf, the tree, and the checkpoints that were signed of it.

    entries ──chain──► head of each run ──► leaf ──► root of the tree ──► checkpoints in the store
                                                                     └──► checkpoints held elsewhere

Each arrow is recomputed. The first three show what was changed carelessly; whoever rewrites a store with fresh hashes,
leaves and tree is shown by a checkpoint that he could not sign, or could not take back.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..core.errors import BadSignature, StoreCorrupt, StoreError
from ..core.ids import RunRef
from ..journal import Entry, Leaf, RunQuery, RunRecord, Store, verify_chain
from .checkpoints import Checkpoint, OpenedCheckpoint, open_checkpoint
from .faults import Fault
from .log import root_at
from .notes import VerifierKey
from .tiles import FULL
from .tree import HASH_BYTES, Frontier, leaf_hash

__all__ = ["StoreReport", "verify_store"]

RUNS_PAGE = 200
ENTRIES_PAGE = 2000
LEAVES_PAGE = 5000
MOST_FAULTS = 100
"""Then it stops: everything is wrong."""


@dataclass(kw_only=True, slots=True)
class StoreReport:
    """What a verification found."""

    runs: int = 0
    entries: int = 0
    leaves: int = 0
    behind: int = 0
    """runs whose newest entries the log has not seen yet"""
    checkpoints: list[OpenedCheckpoint] = field(default_factory=list[OpenedCheckpoint])
    """of the store, the newest first"""
    held: list[OpenedCheckpoint] = field(default_factory=list[OpenedCheckpoint])
    """that were given, and agree"""
    faults: list[Fault] = field(default_factory=list[Fault])
    """empty: everything is what was written"""

    def blame(self, fault: Fault) -> None:
        """Take down what is wrong."""
        self.faults.append(fault)

    @property
    def hopeless(self) -> bool:
        """Whether to look no further."""
        return len(self.faults) >= MOST_FAULTS


async def verify_store(
    store: Store,
    keys: Sequence[VerifierKey] = (),
    *,
    held: Iterable[str | bytes] = (),
    seen: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> StoreReport:
    """Verify everything; what is wrong is in the report, in the order in which it was met.

    With `keys`, every checkpoint has to be signed by one of them. `held`: checkpoints that come from
    elsewhere, of which the log has to be the continuation. `seen` is told of the work as it goes: `leaves` or `runs`,
    how many, of how many. Others may write meanwhile: what comes later is not looked at.
    """
    report = StoreReport()
    of_store = await _checkpoints_of(store, keys, report)
    of_others = _opened(held, keys, report, "the checkpoint that you hold")
    size = await store.log_size()
    roots = await _tree(store, size, {c.checkpoint.size for c in (*of_store, *of_others)}, report, seen)
    origins = {c.checkpoint.origin for c in of_store}
    for opened in of_store:
        if _fits(opened.checkpoint, size, roots, origins, report, "a checkpoint of the store"):
            report.checkpoints.append(opened)
    for opened in of_others:
        if _fits(opened.checkpoint, size, roots, origins, report, "the checkpoint that you hold"):
            report.held.append(opened)
    told = any(fault.what == "leaf" for fault in report.faults)
    if not told and await _root_of_tiles(store, size, report) not in (None, roots.get(size)):
        report.blame(Fault(what="tree", message="the tree that is stored is not that of its leaves"))
    await _runs(store, size, report, seen)
    return report


# checkpoints ---------------------------------------------------------------------------------------------------


async def _checkpoints_of(
    store: Store, keys: Sequence[VerifierKey], report: StoreReport
) -> list[OpenedCheckpoint]:
    notes: list[str] = []
    before: int | None = None
    while page := await store.checkpoints(limit=500, before=before):
        notes += [kept.note for kept in page]
        before = page[-1].size
    return _opened(notes, keys, report, "a checkpoint of the store")


def _opened(
    notes: Iterable[str | bytes], keys: Sequence[VerifierKey], report: StoreReport, which: str
) -> list[OpenedCheckpoint]:
    found: list[OpenedCheckpoint] = []
    for note in notes:
        try:
            found.append(open_checkpoint(note, keys))
        except BadSignature as error:
            report.blame(Fault(what="checkpoint", message=f"{which} counts for nothing: {error}"))
    return found


def _fits(
    told: Checkpoint,
    size: int,
    roots: Mapping[int, bytes],
    origins: set[str],
    report: StoreReport,
    which: str,
) -> bool:
    if told.size > size:
        why = f"{which} is of {told.size} heads, and the log has {size}: it was cut"
    elif roots.get(told.size) != told.root:
        why = f"{which}, of {told.size} heads, is of other heads than the log has: they were changed or written anew"
    elif origins and told.origin not in origins:
        why = f"{which} is of the log `{told.origin}`, this one is `{', '.join(sorted(origins))}`"
    else:
        return True
    report.blame(Fault(what="checkpoint", message=why, leaf=min(told.size, size)))
    return False


# the tree ------------------------------------------------------------------------------------------------------


async def _tree(
    store: Store, size: int, wanted: set[int], report: StoreReport, seen: Callable[[str, int, int], None]
) -> dict[int, bytes]:
    """The roots of the tree at those sizes and at its whole, recomputed from the leaves."""
    tree = Frontier()
    roots = {0: tree.root()}
    other: Leaf | None = None
    while tree.size < size:
        page = await store.leaves(after=tree.size - 1, limit=min(LEAVES_PAGE, size - tree.size))
        if not page:
            break
        stored = await store.tiles(
            [(0, n) for n in range(tree.size // FULL, (tree.size + len(page)) // FULL + 1)]
        )
        for leaf in page:
            if leaf.n != tree.size:
                message = f"leaf {tree.size} is missing (found leaf {leaf.n})"
                report.blame(Fault(what="leaf", message=message, leaf=tree.size))
                return roots
            hash = leaf_hash(leaf.data())
            if other is None and not _is_at(hash, leaf.n, stored):
                other = leaf
            tree.add(hash)
            if tree.size in wanted:
                roots[tree.size] = tree.root()
        seen("leaves", tree.size, size)
    roots[tree.size] = tree.root()
    report.leaves = tree.size
    if other is not None:
        message = (
            f"leaf {other.n} (run `{other.run}`, entry {other.seq}) is not what the tree holds at its place: the leaf, "
            "or the tree, was changed"
        )
        report.blame(Fault(what="leaf", message=message, run=other.run, entry=other.seq, leaf=other.n))
    return roots


def _is_at(hash: bytes, n: int, tiles: Mapping[tuple[int, int], bytes]) -> bool:
    tile, place = divmod(n, FULL)
    return tiles.get((0, tile), b"")[place * HASH_BYTES : (place + 1) * HASH_BYTES] == hash


async def _root_of_tiles(store: Store, size: int, report: StoreReport) -> bytes | None:
    try:
        return await root_at(store, size)
    except StoreCorrupt as error:
        report.blame(Fault(what="tree", message=str(error)))
        return None


# runs ----------------------------------------------------------------------------------------------------------


async def _runs(store: Store, size: int, report: StoreReport, seen: Callable[[str, int, int], None]) -> None:
    before: int | None = None
    total = met = 0
    while not report.hopeless:
        page = await store.find(RunQuery(limit=RUNS_PAGE, before=before))
        if not page:
            break
        total = max(total, page[0].rid)
        leaves: defaultdict[int, list[Leaf]] = defaultdict(list)
        for rid, leaf in await store.leaves_of([run.rid for run in page]):
            if leaf.n < size:
                leaves[rid].append(leaf)
        # A run that went on meanwhile, and was integrated, is looked at again: its head is behind its leaves then.
        for run, first in _reading(store, page):
            filed = leaves[run.rid]
            met += len(filed)
            if filed and filed[-1].seq > run.head:
                run = await store.get(run.ref) or run
            try:
                await _run(store, run, filed, report, await first)
            except StoreError as error:
                report.blame(Fault.of_run(run.ref, error))
                if report.hopeless:
                    break
            report.runs += 1
        before = page[-1].rid
        seen("runs", total - before + 1, total)
    if met < report.leaves and not report.hopeless:
        await _orphans(store, size, report)


def _reading(
    store: Store, page: Sequence[RunRecord]
) -> Iterator[tuple[RunRecord, asyncio.Future[list[Entry]]]]:
    """Each run with its first entries; those of the next are read while these are verified."""

    def read(run: RunRecord) -> asyncio.Future[list[Entry]]:
        return asyncio.ensure_future(store.read(run.ref, limit=min(ENTRIES_PAGE, run.head)))

    now = read(page[0])
    for n, run in enumerate(page):
        following = read(page[n + 1]) if n + 1 < len(page) else now
        try:
            yield run, now
        finally:
            now.cancel()  # where it was not awaited
        now = following


async def _run(
    store: Store, run: RunRecord, leaves: Sequence[Leaf], report: StoreReport, first: list[Entry]
) -> None:
    """One run: its chain, its head, and that each of its leaves lies on the chain. Raises `StoreCorrupt`."""
    wanted = {leaf.seq: leaf for leaf in leaves}
    _in_order(run.ref, leaves)
    seq, last = 0, None
    while seq < run.head:
        page = first or await store.read(run.ref, after=seq, limit=min(ENTRIES_PAGE, run.head - seq))
        if not page:
            break
        first = []
        seq, last = verify_chain(run.ref, page, after=seq, previous=last)
        report.entries += len(page)
        for entry in page if wanted else ():
            leaf = wanted.pop(entry.seq, None)
            if leaf is not None and leaf.hash != entry.hash:
                raise StoreCorrupt(
                    f"run `{run.ref}`: entry {entry.seq} is not the one that the log has seen (leaf {leaf.n}): its "
                    "journal was written anew"
                )
    if (seq, last) != (run.head, run.head_hash):
        raise StoreCorrupt(
            f"run `{run.ref}`: its journal ends at entry {seq} and should end at entry {run.head}, or with another "
            "hash: it was cut or changed"
        )
    for leaf in wanted.values():
        raise StoreCorrupt(
            f"run `{run.ref}`: the log has seen entry {leaf.seq} of it (leaf {leaf.n}), and its journal ends at entry "
            f"{seq}: it was cut"
        )
    if not leaves or leaves[-1].seq < run.head:
        report.behind += 1


def _in_order(ref: RunRef, leaves: Sequence[Leaf]) -> None:
    since, place = 0, -1
    for leaf in leaves:
        if leaf.run != ref:
            raise StoreCorrupt(f"run `{ref}`: leaf {leaf.n} is filed under it, and is of run `{leaf.run}`")
        if leaf.since != since or leaf.n <= place:
            raise StoreCorrupt(
                f"run `{ref}`: leaf {leaf.n} (entry {leaf.seq}) goes on from entry {leaf.since}, and the leaf before "
                f"is of entry {since}"
            )
        since, place = leaf.seq, leaf.n


async def _orphans(store: Store, size: int, report: StoreReport) -> None:
    """Name the first leaf whose run is gone."""
    after = -1
    known: set[RunRef] = set()
    while page := await store.leaves(after=after, limit=LEAVES_PAGE):
        for leaf in page:
            if leaf.n >= size:
                return
            if leaf.run not in known:
                if await store.get(leaf.run) is None:
                    message = (
                        f"run `{leaf.run}` is gone: the log has seen entry {leaf.seq} of it (leaf {leaf.n}); it was "
                        "deleted"
                    )
                    report.blame(
                        Fault(what="run", message=message, run=leaf.run, entry=leaf.seq, leaf=leaf.n)
                    )
                    return
                known.add(leaf.run)
        after = page[-1].n
    report.blame(
        Fault(what="leaf", message="some leaves are filed under no run, or under another than theirs")
    )
