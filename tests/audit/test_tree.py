"""The tree is that of RFC 6962, and its tiles hold all of it; proofs are checked against one who knows every leaf."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.audit import Frontier, ProofFailed, leaf_hash, node_hash, verify_consistency, verify_inclusion
from perdure.audit.tiles import Tile, edge_tiles, grown, proof_from, root_from, tiles_of
from perdure.audit.tree import EMPTY, consistency_plan, inclusion_plan

# The reference tree of Certificate Transparency: its leaves, and the roots of its first 1 to 8.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(root)
    for root in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]


def split(count: int) -> int:
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1, word by word."""
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    k = split(len(leaves))
    return node_hash(root(leaves[:k]), root(leaves[k:]))


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), root(leaves[k:])]
    return [*path(m - k, leaves[k:]), root(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    """RFC 6962, 2.1.2."""
    if m == len(leaves):
        return [] if whole else [root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), root(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), root(leaves[:k])]


def tiled(leaves: Sequence[bytes], parts: Sequence[int]) -> dict[Tile, bytes]:
    """The tiles of a tree that grew in parts, only the edge of which was known each time."""
    tiles: dict[Tile, bytes] = {}
    at = 0
    for part in (*parts, len(leaves)):
        added = [leaf_hash(leaf) for leaf in leaves[at : at + part]]
        tiles |= grown(at, {tile: tiles[tile] for tile in edge_tiles(at)}, added)
        at += len(added)
    return tiles


def numbered(count: int) -> list[bytes]:
    return [b"leaf %d" % n for n in range(count)]


def test_the_roots_of_certificate_transparency() -> None:
    tree = Frontier()
    assert tree.root() == EMPTY
    for leaf, expected in zip(LEAVES, ROOTS, strict=True):
        tree.add(leaf_hash(leaf))
        assert tree.root() == expected


def test_every_proof_in_small_trees() -> None:
    for size in range(1, 34):
        leaves = numbered(size)
        tiles = tiled(leaves, [3, 7])
        assert root_from(size, {tile: tiles[tile] for tile in edge_tiles(size)}) == root(leaves)
        for m in range(size):
            proof = proof_from(inclusion_plan(m, size), tiles)
            assert proof == path(m, leaves)
            verify_inclusion(leaf_hash(leaves[m]), m, size, proof, root(leaves))
        for old in range(1, size + 1):
            proof = proof_from(consistency_plan(old, size), tiles)
            assert proof == subproof(old, leaves, True)
            verify_consistency(old, root(leaves[:old]), size, root(leaves), proof)


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 1500), parts=st.lists(st.integers(1, 400), max_size=8), data=st.data())
def test_trees_of_many_tiles(size: int, parts: list[int], data: st.DataObject) -> None:
    leaves = numbered(size)
    tiles = tiled(leaves, parts)
    m, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    plans = [inclusion_plan(m, size), consistency_plan(old, size)]
    needed = {tile: tiles[tile] for tile in tiles_of(plans)}
    inclusion, consistency = (proof_from(plan, needed) for plan in plans)
    whole = root(leaves)
    assert inclusion == path(m, leaves)
    verify_inclusion(leaf_hash(leaves[m]), m, size, inclusion, whole)
    verify_consistency(old, root(leaves[:old]), size, whole, consistency)


def test_a_tree_of_three_levels_of_tiles() -> None:
    """65,536 leaves fill a tile of the second level; the hashes of leaves may be anything."""
    hashes = [n.to_bytes(32) for n in range(66_000)]
    tiles: dict[Tile, bytes] = {}
    tree = Frontier()
    for at in range(0, len(hashes), 1000):
        tiles |= grown(at, {tile: tiles[tile] for tile in edge_tiles(at)}, hashes[at : at + 1000])
    for one in hashes:
        tree.add(one)
    size = len(hashes)
    assert Tile(2, 0) in tiles
    assert root_from(size, {tile: tiles[tile] for tile in edge_tiles(size)}) == tree.root()
    for m in (0, 255, 256, 65_535, 65_536, size - 1):
        verify_inclusion(hashes[m], m, size, proof_from(inclusion_plan(m, size), tiles), tree.root())


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 60), data=st.data())
def test_whatever_is_changed_in_a_proof_it_fails(size: int, data: st.DataObject) -> None:
    leaves = numbered(size)
    m, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    whole, before = root(leaves), root(leaves[:old])
    inclusion, consistency = path(m, leaves), subproof(old, leaves, True)
    other = data.draw(st.binary(min_size=32, max_size=32))

    def bent(proof: list[bytes]) -> list[list[bytes]]:
        found = [[*proof, other], [other, *proof]]
        if proof:
            i = data.draw(st.integers(0, len(proof) - 1))
            found += [proof[:-1], proof[1:], [*proof[:i], other, *proof[i + 1 :]]]
        return found

    for proof in bent(inclusion):
        with pytest.raises(ProofFailed):
            verify_inclusion(leaf_hash(leaves[m]), m, size, proof, whole)
    for hash_, index, of, end in (
        (leaf_hash(b"another"), m, size, whole),
        (leaf_hash(leaves[m]), m, size, other),
        (leaf_hash(leaves[m]), size, size, whole),
        (leaf_hash(leaves[m]), -1, size, whole),
    ):
        with pytest.raises(ProofFailed):
            verify_inclusion(hash_, index, of, inclusion, end)
    for proof in bent(consistency):
        with pytest.raises(ProofFailed):
            verify_consistency(old, before, size, whole, proof)
    for of, begin, to, end in (
        (old, other, size, whole),
        (old, before, size, other),
        (size + 1, before, size, whole),
    ):
        with pytest.raises(ProofFailed):
            verify_consistency(of, begin, to, end, consistency)


def test_an_empty_tree_is_the_beginning_of_every_tree() -> None:
    verify_consistency(0, EMPTY, 8, ROOTS[7], [])
    with pytest.raises(ProofFailed):
        verify_consistency(0, ROOTS[0], 8, ROOTS[7], [])
    with pytest.raises(ProofFailed):
        verify_consistency(0, EMPTY, 8, ROOTS[7], [ROOTS[0]])


def test_a_leaf_is_no_node() -> None:
    """Without the prefixes, a tree of two leaves would be a tree of one leaf: the two hashes."""
    a, b = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(a + b) != node_hash(a, b)
