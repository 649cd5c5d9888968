"""The Merkle tree of RFC 6962: hashes, roots, proofs, and their verification. Pure, and knows nothing of runs.

A *node* `(level, n)` is the root of the complete subtree over leaves `n << level` to `(n + 1) << level`;
it never changes once those leaves are there, so it can be stored. What a proof needs is such nodes; where a tree is not
a power of two its right edge is folded from several.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..core.errors import StoreCorrupt

__all__ = [
    "EMPTY",
    "HASH_BYTES",
    "Frontier",
    "Node",
    "Plan",
    "ProofFailed",
    "consistency_plan",
    "folded",
    "inclusion_plan",
    "leaf_hash",
    "node_hash",
    "nodes_of",
    "proof_of",
    "verify_consistency",
    "verify_inclusion",
]

HASH_BYTES = 32

_sha256 = hashlib.sha256

EMPTY = _sha256(b"").digest()
"""The root of a tree without leaves."""


class ProofFailed(StoreCorrupt):
    """A proof does not show what it should: somebody has changed the leaf, the tree, or the proof."""


class Node(NamedTuple):
    """The root of a complete subtree of `2 ** level` leaves."""

    level: int
    n: int


Plan = Sequence[Sequence[Node]]
"""The hashes of a proof, in order: each is folded from one or more nodes, from left to right."""


def leaf_hash(data: bytes) -> bytes:
    """`H(0x00 ‖ data)`: a leaf can never pass for a node."""
    return _sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """`H(0x01 ‖ left ‖ right)`."""
    return _sha256(b"\1" + left + right).digest()


def nodes_of(low: int, high: int) -> list[Node]:
    """The fewest complete subtrees that make up the leaves from `low` to `high`, from left to right.

    `low` must be where a subtree as large as the whole begins, as everywhere in a proof.
    """
    found: list[Node] = []
    while low < high:
        level = (high - low).bit_length() - 1
        found.append(Node(level, low >> level))
        low += 1 << level
    return found


def folded(hashes: Sequence[bytes]) -> bytes:
    """The root over the subtrees of `nodes_of`: the smaller ones, on the right, are joined first."""
    if not hashes:
        return EMPTY
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


class Frontier:
    """A tree of which only the right edge is kept: `O(log n)` hashes, enough to go on and to know the root."""

    __slots__ = ("_edge", "size")

    def __init__(self, size: int = 0, edge: Iterable[bytes] = ()) -> None:
        self.size = size
        """leaves so far"""
        self._edge = list(edge)
        """the hashes of `nodes_of(0, size)`"""
        if len(self._edge) != size.bit_count():
            raise ValueError(
                f"a tree of {size} leaves has an edge of {size.bit_count()} nodes, not {len(self._edge)}"
            )

    def add(self, hash: bytes) -> None:
        """One leaf more, by its hash."""
        edge, size = self._edge, self.size
        while size & 1:
            hash = _sha256(b"\1" + edge.pop() + hash).digest()
            size >>= 1
        edge.append(hash)
        self.size += 1

    def root(self) -> bytes:
        """The root of the tree as it is."""
        return folded(self._edge)


# proofs --------------------------------------------------------------------------------------------------------


def inclusion_plan(index: int, size: int) -> Plan:
    """What proves that the leaf `index` is in the tree of `size` leaves (RFC 6962, 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    plan: list[list[Node]] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            plan.append(nodes_of(middle, high))
            high = middle
        else:
            plan.append(nodes_of(low, middle))
            low = middle
    return plan[::-1]


def consistency_plan(old: int, size: int) -> Plan:
    """What proves that the tree of `size` leaves begins with the tree of `old` leaves (RFC 6962, 2.1.2)."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {size} leaves does not begin with one of {old}")
    if old in (0, size):
        return []
    plan: list[list[Node]] = []
    low, high, whole = 0, size, True
    while old < high:
        middle = low + _split(high - low)
        if old <= middle:
            plan.append(nodes_of(middle, high))
            high = middle
        else:
            plan.append(nodes_of(low, middle))
            low, whole = middle, False
    if not whole:
        plan.append(nodes_of(low, high))
    return plan[::-1]


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def verify_inclusion(hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf of this hash stands at `index` in the tree of that size and root. Raises `ProofFailed`.

    By RFC 9162, 2.1.3.2.
    """
    if not 0 <= index < size:
        raise ProofFailed(f"leaf {index} cannot be in a tree of {size} leaves")
    at, last, found = index, size - 1, hash
    for sibling in path:
        if last == 0:
            raise ProofFailed(f"the proof of leaf {index} in a tree of {size} is too long")
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            while at & 1 == 0 and at:
                at >>= 1
                last >>= 1
        else:
            found = node_hash(found, sibling)
        at >>= 1
        last >>= 1
    if last:
        raise ProofFailed(f"the proof of leaf {index} in a tree of {size} is too short")
    if found != root:
        raise ProofFailed(f"leaf {index} is not what stands at its place in the tree of {size} leaves")


def verify_consistency(old: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """Check that the tree of `size` leaves begins with that of `old` leaves. Raises `ProofFailed`.

    By RFC 9162, 2.1.4.2. An empty tree is the beginning of every tree.
    """
    if not 0 <= old <= size:
        raise ProofFailed(f"a tree of {size} leaves cannot go on from one of {old}")
    if old in (0, size):
        if path:
            raise ProofFailed(f"a proof between trees of {old} and {size} leaves must be empty")
        if old_root != (EMPTY if old == 0 else root):
            raise ProofFailed(f"there are two different trees of {old} leaves")
        return
    steps = list(path)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)  # a power of two: the old tree is itself the first node
    if not steps:
        raise ProofFailed(f"the proof between trees of {old} and {size} leaves is too short")
    at, last = old - 1, size - 1
    while at & 1:
        at >>= 1
        last >>= 1
    before = after = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            raise ProofFailed(f"the proof between trees of {old} and {size} leaves is too long")
        if at & 1 or at == last:
            before = node_hash(sibling, before)
            after = node_hash(sibling, after)
            while at & 1 == 0 and at:
                at >>= 1
                last >>= 1
        else:
            after = node_hash(after, sibling)
        at >>= 1
        last >>= 1
    if last:
        raise ProofFailed(f"the proof between trees of {old} and {size} leaves is too short")
    if before != old_root or after != root:
        raise ProofFailed(f"the tree of {size} leaves does not begin with that of {old} leaves")


def proof_of(plan: Plan, hashes: Mapping[Node, bytes]) -> list[bytes]:
    """The hashes of a proof, once those of its nodes are known."""
    return [folded([hashes[node] for node in group]) for group in plan]
