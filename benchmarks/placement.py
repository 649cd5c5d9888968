"""Which partition a run belongs to: slots by a hash, slots to partitions by rendezvous. Not used by Perdure yet.

`slot(tenant, root)` is taken from SHA-256 over both, so it is the same in every language and for ever. Slots are placed
by rendezvous hashing (Thaler and Ravishankar 1998): each partition draws a number for each slot, and the largest has
it. So a partition more takes its share from all the others, and nothing moves between these.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

__all__ = ["SLOTS", "Placement", "slot"]

SLOTS = 16_384


def slot(tenant: str, root: str) -> int:
    """The slot of a run; `root` is its own id, or that of the run at the top of its family."""
    text = f"{len(tenant)}:{tenant}/{root}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:2], "big") % SLOTS


class Placement:
    """The partition of each slot."""

    def __init__(self, partitions: Iterable[str], *, slots: int = SLOTS) -> None:
        self._drawn = [b""] * slots
        self.partition = [""] * slots
        """the name of each slot's partition"""
        for name in partitions:
            self.add(name)

    def add(self, name: str) -> float:
        """Another partition; returns the share of slots that move to it."""
        took = 0
        for number, best in enumerate(self._drawn):
            drawn = hashlib.blake2b(b"%d/%s" % (number, name.encode()), digest_size=8).digest()
            if drawn > best:
                self._drawn[number], self.partition[number] = drawn, name
                took += 1
        return took / len(self._drawn)

    def fullest(self, slots: Iterable[int] | None = None) -> float:
        """The fullest partition against the mean: by slots, or by the slots of some runs."""
        counts = Counter(self.partition if slots is None else [self.partition[n] for n in slots])
        return max(counts.values()) * len(set(self.partition)) / sum(counts.values())
