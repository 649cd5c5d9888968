"""Tallies, read: counts with their names, and what follows from a histogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from ..journal import BOUNDS, COUNTS, Counts, Store, TallyQuery

__all__ = ["NO_TALLY", "Tally", "tallied"]

_FIRST_BUCKET = COUNTS.index("h0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was added up. Money is nano-dollars, times are microseconds."""

    n: int = 0
    """facts"""
    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    """of those that were charged: free tools that no budget counts are only in `calls`"""
    money: int = 0
    unpriced: int = 0
    estimated: int = 0
    micros: int = 0
    """of all that was timed, together"""
    buckets: Sequence[int] = ()
    """how many took as long as each of `BOUNDS` or less, and more than the one before; the last: longer than all"""

    @classmethod
    def of(cls, counts: Counts) -> Self:
        """Of counts as a store has them."""
        told = dict(zip(COUNTS[:_FIRST_BUCKET], counts, strict=False))
        return cls(**told, buckets=tuple(counts[_FIRST_BUCKET:]))

    @property
    def timed(self) -> int:
        """How many were timed."""
        return sum(self.buckets)

    @property
    def mean(self) -> int | None:
        """How long one took on average; None: none was timed."""
        return self.micros // self.timed if self.timed else None

    def quantile(self, q: float) -> int | None:
        """The time that a part `q` of them took at most, as near as the buckets tell: straight lines within each.

        That of what took longer than the last bound is that bound. None: none was timed.
        """
        wanted, seen = q * self.timed, 0
        if not self.timed:
            return None
        for i, n in enumerate(self.buckets):
            if n and seen + n >= wanted:
                if i == len(BOUNDS):
                    return BOUNDS[-1]
                low = BOUNDS[i - 1] if i else 0
                return low + round((BOUNDS[i] - low) * (wanted - seen) / n)
            seen += n
        return BOUNDS[-1]


NO_TALLY = Tally(buckets=(0,) * (len(BOUNDS) + 1))
"""Nothing was added up."""


async def tallied(store: Store, query: TallyQuery) -> list[tuple[tuple[str | int, ...], Tally]]:
    """Tallies, added up by the columns that the query names."""
    return [(group, Tally.of(counts)) for group, counts in await store.tallies(query)]
