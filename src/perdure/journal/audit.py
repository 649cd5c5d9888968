"""The part of the Store port that keeps the *audit log*: one append-only Merkle tree over the heads of all runs.

A run's chain proves that nothing in it was changed, but not that nobody wrote another chain in its place. So each head
that a run has had becomes a leaf of one tree, and the tree's root is signed and sent away (`perdure.audit`).

    entries ──► runs whose head moved ──► leaves ──► tiles of the tree ──► checkpoint: size and root, signed

A store knows no Merkle trees: `integrate` hands the moved heads to a `Grower`, and writes what that makes of them, in
one transaction. So there is no moment at which the log could be torn, and of two who integrate at once one does it all
and the other nothing: no leader is elected, and none can be lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from ..core.ids import RunRef

__all__ = ["AuditStore", "Growth", "Grower", "Integrated", "KeptCheckpoint", "Leaf", "LogLag", "TileKey"]

TileKey: TypeAlias = tuple[int, int]
"""Level and index of a tile of the tree."""


class Leaf(NamedTuple):
    """What one leaf says: that the journal of `run` had this entry as its head."""

    n: int
    """its place in the tree, from 0"""
    run: RunRef
    seq: int
    """of the entry"""
    since: int
    """the `seq` in this run's leaf before; 0: this is its first"""
    hash: bytes
    """of the entry, and so of all before it"""

    def data(self) -> bytes:
        """The bytes that the tree holds; written down in `docs/audit-log.md`. The place is not among them."""
        return b"".join(
            (
                b"perdure run head 1\0",
                self.run.tenant.encode(),
                b"\0",
                self.run.id.encode(),
                b"\0",
                self.seq.to_bytes(8),
                self.since.to_bytes(8),
                self.hash,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What comes of new leaves."""

    tiles: Mapping[TileKey, bytes] = field(default_factory=dict[TileKey, bytes])
    """to be written, in place of those of the same key"""
    note: str | None = None
    """a signed checkpoint of the tree with these leaves; None: nobody here can sign"""


class KeptCheckpoint(NamedTuple):
    """A checkpoint as it is stored."""

    size: int
    """leaves of the tree"""
    note: str
    """with its signatures"""
    at: int
    """when it was made: microseconds, the store's clock"""
    kept: bool
    """it was sent away, and stays; of the others only the newest does"""


class Grower(Protocol):
    """Makes a tree of leaves. Pure and quick: it is called in the writer's thread, in the transaction, maybe twice."""

    def edge(self, size: int, signed: int) -> Sequence[TileKey]:
        """The tiles that `grow` needs, of a tree of that size whose newest checkpoint is of size `signed`."""
        ...

    def grow(
        self,
        size: int,
        edge: Mapping[TileKey, bytes],
        leaves: Sequence[Leaf],
        last: KeptCheckpoint | None,
    ) -> Growth:
        """Add leaves to a tree of that size, and sign the tree that comes of it. `last`: its newest checkpoint.

        Raises `StoreCorrupt` where the tree is not the one that `last` names: then nothing is written, nor signed.
        """
        ...


class Integrated(NamedTuple):
    """What an integration did."""

    size: int
    """leaves of the tree now"""
    leaves: int
    """of them, added"""
    more: bool
    """there may be more to integrate at once"""


class LogLag(NamedTuple):
    """What was not integrated yet."""

    runs: int
    """at most so many runs whose head moved"""
    since: int | None
    """when the first of them did: microseconds, the store's clock; None: there are none"""


class AuditStore(Protocol):
    """What a store does for the audit log."""

    async def log_size(self) -> int:
        """How many leaves there are."""
        ...

    async def moved(self) -> bool:
        """Whether there may be something to integrate; cheap, however many runs there are."""
        ...

    async def log_lag(self) -> LogLag:
        """How far behind the log is."""
        ...

    async def integrate(self, grower: Grower, *, limit: int = 512) -> Integrated:
        """Add a leaf for each run whose head moved, at most about `limit`, and the checkpoint of what comes of it.

        Exactly once a head: what an integration has seen no other sees, and one that dies has done nothing. Where
        another is at it now, it does nothing either. Without moved heads it only asks for a checkpoint, where the
        newest is not of the whole tree. Raises what `grower` raises.
        """
        ...

    async def look_for_moved(self, *, after: int = 0, limit: int = 2000) -> int | None:
        """Look at runs whose `rid` is above `after`: heads that the log has not seen will be.

        For what is told to nobody: heads that workers of an older release move while others are newer already, or that
        somebody hides. The last `rid` that was looked at; None: that was all, or this store cannot miss any.
        """
        ...

    async def leaves(self, *, after: int = -1, limit: int = 1000) -> list[Leaf]:
        """Leaves behind `after`, in order."""
        ...

    async def leaves_of(self, rids: Sequence[int]) -> list[tuple[int, Leaf]]:
        """All leaves of some runs, each with its run's `rid`, by `rid` and `seq`."""
        ...

    async def tiles(self, keys: Sequence[TileKey]) -> dict[TileKey, bytes]:
        """Those tiles that are there."""
        ...

    async def checkpoints(self, *, limit: int = 1, before: int | None = None) -> list[KeptCheckpoint]:
        """The newest checkpoints first; `before`: only those of a smaller tree."""
        ...

    async def keep_checkpoint(self, size: int, note: str) -> None:
        """Keep a checkpoint for good, with this note: it was sent away, or has got signatures of witnesses."""
        ...
