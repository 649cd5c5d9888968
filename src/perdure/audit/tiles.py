"""How the tree is kept: in *tiles* of up to 256 hashes (as in C2SP `tlog-tiles`), the last of a level grows.

Tile `(0, n)` holds the hashes of leaves `256 n` and the following; tile `(l, n)` the roots of full tiles of the level
below. So a leaf costs 32 bytes and little more, appending touches one tile a level, and any node of the tree is folded
from at most 256 hashes of one tile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .tree import HASH_BYTES, Frontier, Node, Plan, node_hash, nodes_of, proof_of

__all__ = ["FULL", "HEIGHT", "Tile", "edge_tiles", "grown", "proof_from", "root_from", "tiles_of"]

HEIGHT = 8
"""Levels of the tree in one tile."""
FULL = 1 << HEIGHT


class Tile(NamedTuple):
    """Where a tile stands."""

    level: int
    """0: of hashes of leaves"""
    n: int


def edge_tiles(size: int) -> list[Tile]:
    """The tiles of a tree of `size` leaves that are not full: all that is needed to go on, and to know its root."""
    found: list[Tile] = []
    level = 0
    while size:
        if size % FULL:
            found.append(Tile(level, size // FULL))
        size //= FULL
        level += 1
    return found


def grown(size: int, edge: Mapping[Tile, bytes], leaves: Iterable[bytes]) -> dict[Tile, bytes]:
    """The tiles that are written when leaves of these hashes are added; `edge`: the contents of `edge_tiles(size)`."""
    written: dict[Tile, bytes] = {}
    level = 0
    more = list(leaves)
    while more:
        index = size // FULL
        filled = size % FULL
        hashes = edge[Tile(level, index)][: filled * HASH_BYTES] if filled else b""
        hashes += b"".join(more)
        size += len(more)
        more = list[bytes]()
        while True:
            content = hashes[: FULL * HASH_BYTES]
            if content:
                written[Tile(level, index)] = content
            if len(content) < FULL * HASH_BYTES:
                break
            more.append(_subtree(content))
            hashes = hashes[FULL * HASH_BYTES :]
            index += 1
        level += 1
        size = size // FULL - len(more)
    return written


def tiles_of(plans: Iterable[Plan]) -> list[Tile]:
    """The tiles that the nodes of some plans are folded from."""
    return sorted({_place(node) for plan in plans for group in plan for node in group})


def proof_from(plan: Plan, tiles: Mapping[Tile, bytes]) -> list[bytes]:
    """The hashes of a proof, from tiles."""
    return proof_of(plan, {node: _node(node, tiles) for group in plan for node in group})


def root_from(size: int, tiles: Mapping[Tile, bytes]) -> bytes:
    """The root of the tree of `size` leaves, from its `edge_tiles`."""
    return Frontier(size, [_node(node, tiles) for node in nodes_of(0, size)]).root()


def _place(node: Node) -> Tile:
    level, height = divmod(node.level, HEIGHT)
    return Tile(level, (node.n << height) // FULL)


def _node(node: Node, tiles: Mapping[Tile, bytes]) -> bytes:
    height = node.level % HEIGHT
    tile = _place(node)
    first = (node.n << height) % FULL
    content = tiles[tile][first * HASH_BYTES : (first + (1 << height)) * HASH_BYTES]
    if len(content) != HASH_BYTES << height:
        raise LookupError(f"tile {tile.level}/{tile.n} has no hashes {first} to {first + (1 << height)}")
    return _subtree(content)


def _subtree(content: bytes) -> bytes:
    """The root over a power of two of hashes."""
    hashes: Sequence[bytes] = [content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES)]
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]
