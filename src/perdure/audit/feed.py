"""The continuous feed of facts, from a cursor that lasts: each fact at least once, in the order of the audit log.

The audit log gives all heads of runs one order, on every store: a leaf says that a run's journal went from one entry to
another. So a cursor is a leaf's place, and its hash: it says exactly what was sent, needs no memory of runs, and is
refused by a log that it is not of. Whoever died before the cursor was kept sends the last of it again, by the same ids.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..core.errors import ConfigError
from ..core.ids import RunRef
from ..journal import Leaf, Store
from .fact import Fact
from .facts import Facts
from .log import LogGrower

__all__ = ["Cursor", "Feed", "Sent"]

LEAVES = 256
"""read together"""

ENTRIES = 1000
"""read together"""

RUNS = 2000
"""whose fold is kept: of another that goes on, the journal is read from its beginning"""

LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to where a feed was sent."""

    place: int = -1
    """of the last leaf that was sent whole; -1: none was"""
    hash: str = ""
    """the beginning of that leaf's"""

    def __str__(self) -> str:
        return f"{self.place + 1}.{self.hash}" if self.place >= 0 else "0"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read `str`. Raises `ConfigError`."""
        count, _, digest = text.strip().partition(".")
        if not count.isascii() or not count.isdecimal() or (int(count) > 0) != (len(digest) == HASH_DIGITS):
            raise ConfigError(
                f"cursor `{text[:80]}` is none of this feed: `0` is the beginning, and each event has its own under "
                "`unmapped.cursor`"
            )
        return cls(int(count) - 1, digest)

    @classmethod
    def of(cls, leaf: Leaf) -> Cursor:
        """Behind a leaf."""
        return cls(leaf.n, leaf.hash.hex()[:HASH_DIGITS])


HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Sent:
    """What is to be sent next."""

    fact: Fact
    cursor: Cursor
    """from where to go on once this is sent: of the last fact of a leaf that leaf, of the others the one before"""


class Feed:
    """The facts of one tenant, or of all, from a cursor on."""

    def __init__(self, store: Store, *, tenant: str | None, since: Cursor, quiet: bool = False) -> None:
        """`quiet`: with the facts that are of interest to a machine only."""
        self._store = store
        self._quiet = quiet
        self._tenant = tenant
        self.cursor = since
        """where it stands: also behind leaves in which there was nothing to send"""
        self._folds: OrderedDict[RunRef, tuple[Facts, int]] = OrderedDict()
        self._grower = LogGrower()

    async def check(self) -> None:
        """Raise `ConfigError` where the cursor is not of this store's log."""
        if self.cursor.place < 0:
            return
        found = await self._store.leaves(after=self.cursor.place - 1, limit=1)
        if not found or Cursor.of(found[0]) != self.cursor:
            raise ConfigError(
                f"the cursor `{self.cursor}` is not of this store's log: it is another store, or one that was restored "
                "from an older backup. `--since 0` sends all of it again, under the same ids"
            )

    async def facts(self, *, follow: bool = False) -> AsyncIterator[Sent | None]:
        """What was not sent yet, then None: there is no more now. With `follow`, on and on."""
        while True:
            seen = self._store.changes()
            while await self._grow():
                pass
            while page := await self._store.leaves(after=self.cursor.place, limit=LEAVES):
                for leaf in page:
                    if self._tenant in (None, leaf.run.tenant):
                        async for sent in self._leaf(leaf):
                            yield sent
                    self.cursor = Cursor.of(leaf)
            yield None
            if not follow:
                return
            await self._store.changed(seen, within=LOOK_SECONDS)

    async def _grow(self) -> bool:
        """Bring what moved under the log, as workers do: there may be none now. Whether there may be more."""
        return await self._store.moved() and (await self._store.integrate(self._grower)).more

    async def _leaf(self, leaf: Leaf) -> AsyncIterator[Sent]:
        """The facts that a leaf brings; the last of them is kept back until it is known to be the last."""
        facts = await self._fold(leaf)
        last: Fact | None = None
        after = leaf.since
        while after < leaf.seq:
            entries = await self._store.read(leaf.run, after=after, limit=min(ENTRIES, leaf.seq - after))
            if not entries:
                break
            if after == 0 and not entries[0].salt:
                facts = await self._whose(leaf.run)  # what the first entry said was erased
            for entry in entries:
                fact = facts.see(entry)
                if fact.quiet and not self._quiet:
                    continue
                if last is not None:
                    yield Sent(last, self.cursor)
                last = fact
            after = entries[-1].seq
        self._folds[leaf.run] = facts, after
        if len(self._folds) > RUNS:
            self._folds.popitem(last=False)
        if last is not None:
            yield Sent(last, Cursor.of(leaf))

    async def _fold(self, leaf: Leaf) -> Facts:
        """The fold of a run up to where the leaf begins."""
        known = self._folds.pop(leaf.run, None)
        if known is not None and known[1] == leaf.since:
            return known[0]
        if leaf.since == 0:
            return Facts(leaf.run)
        facts, after = await self._whose(leaf.run), 0
        while after < leaf.since:
            entries = await self._store.read(leaf.run, after=after, limit=min(ENTRIES, leaf.since - after))
            if not entries:
                break
            for entry in entries:
                facts.see(entry)
            after = entries[-1].seq
        return facts

    async def _whose(self, ref: RunRef) -> Facts:
        """A fold that knows from the run's row whose it is."""
        record = await self._store.get(ref)
        return Facts(ref) if record is None else Facts.of(record)
