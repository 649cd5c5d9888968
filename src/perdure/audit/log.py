"""The log of one store: what makes it grow, and what is proven of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.errors import BadSignature, StoreCorrupt
from ..journal import AuditStore, Growth, KeptCheckpoint, Leaf, TileKey
from .checkpoints import Checkpoint
from .notes import SignedNote, Signer
from .tiles import Tile, edge_tiles, grown, proof_from, root_from, tiles_of
from .tree import EMPTY, Plan, consistency_plan, folded, inclusion_plan, leaf_hash, nodes_of

__all__ = ["LogGrower", "consistency_proof", "inclusion_proof", "newest_checkpoint", "root_at"]


class LogGrower:
    """Turns heads of runs into leaves, and signs what comes of it, where there is a key."""

    def __init__(self, signer: Signer | None = None) -> None:
        self._signer = signer

    def edge(self, size: int, signed: int) -> Sequence[TileKey]:
        """The tiles that are not full, and those that were not when the tree was signed last."""
        return sorted({*edge_tiles(size), *edge_tiles(signed)})

    def grow(
        self,
        size: int,
        edge: Mapping[TileKey, bytes],
        leaves: Sequence[Leaf],
        last: KeptCheckpoint | None,
    ) -> Growth:
        """Add the leaves and sign. Raises `StoreCorrupt` where the tree is not the one that was signed last.

        A checkpoint is never signed on a tree that lost leaves, or has others: two checkpoints that contradict each
        other, both under our key, would be all that an auditor needs to distrust every one of them.
        """
        tiles = {Tile(*key): hashes for key, hashes in edge.items()}
        if last is not None:
            _refuse_fork(size, tiles, last)
        written = grown(size, tiles, [leaf_hash(leaf.data()) for leaf in leaves])
        if self._signer is None:
            return Growth(tiles={**written})
        after = size + len(leaves)
        whole = {**tiles, **written}
        checkpoint = Checkpoint(self._signer.name, after, root_from(after, whole) if after else EMPTY)
        return Growth(tiles={**written}, note=str(checkpoint.signed(self._signer)))


def _refuse_fork(size: int, tiles: Mapping[Tile, bytes], last: KeptCheckpoint) -> None:
    try:
        told = Checkpoint.parse(SignedNote.parse(last.note).text)
    except BadSignature as error:
        raise StoreCorrupt(f"the audit log's newest checkpoint cannot be read: {error}") from error
    if last.size > size:
        raise StoreCorrupt(
            f"the audit log was cut: it has {size} leaves, and a checkpoint of {last.size} was signed; nothing is "
            "added. `perdure audit verify` says more; restore a newer backup"
        )
    try:
        same = told.size == last.size and told.root == root_from(last.size, tiles)
    except LookupError:
        same = False
    if not same:
        raise StoreCorrupt(
            f"the audit log was changed: its first {last.size} leaves are not those that were signed; nothing is "
            "to it. `perdure audit verify` says more; restore the store from a backup"
        )


async def newest_checkpoint(store: AuditStore) -> KeptCheckpoint | None:
    """The newest signed checkpoint; None: there is none yet."""
    found = await store.checkpoints(limit=1)
    return found[0] if found else None


async def root_at(store: AuditStore, size: int) -> bytes:
    """The root that the tree had at that size, by its tiles. Raises `StoreCorrupt` where some are missing."""
    proof = await _hashes(store, [[node] for node in nodes_of(0, size)])
    return folded(proof)


async def inclusion_proof(store: AuditStore, index: int, size: int) -> list[bytes]:
    """What proves that the leaf is in the tree of that size."""
    return await _hashes(store, inclusion_plan(index, size))


async def consistency_proof(store: AuditStore, old: int, size: int) -> list[bytes]:
    """What proves that the tree of `size` leaves begins with that of `old`."""
    return await _hashes(store, consistency_plan(old, size))


async def _hashes(store: AuditStore, plan: Plan) -> list[bytes]:
    found = await store.tiles(tiles_of([plan]))
    try:
        return proof_from(plan, {Tile(*key): hashes for key, hashes in found.items()})
    except LookupError as error:
        raise StoreCorrupt(
            f"the audit log's tree has lost a part ({error}); restore the store from a backup"
        ) from None
