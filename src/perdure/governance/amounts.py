"""What a call may use and what it used: one number for each thing that a budget can limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from .money import dollars

__all__ = ["DIMENSIONS", "NOTHING", "Amount", "in_words", "share_in_words"]

DIMENSIONS = ("money", "input_tokens", "output_tokens", "tokens", "model_calls", "tool_calls", "active_time")
"""What is summed up. `wall_clock` is not among them: it passes by itself, once for all that is under way."""


@dataclass(frozen=True, slots=True)
class Amount:
    """So much of each dimension. Sums and differences go dimension by dimension."""

    money: int = 0
    """nano-dollars"""
    input_tokens: int = 0
    output_tokens: int = 0
    tokens: int = 0
    """input and output together"""
    model_calls: int = 0
    tool_calls: int = 0
    active_time: int = 0
    """microseconds in which a worker held the run"""

    @property
    def values(self) -> tuple[int, ...]:
        """In the order of `DIMENSIONS`."""
        return (
            self.money,
            self.input_tokens,
            self.output_tokens,
            self.tokens,
            self.model_calls,
            self.tool_calls,
            self.active_time,
        )

    def __add__(self, other: Amount) -> Amount:
        # Written out, as the difference is: each turn of a model adds, and a loop over the fields costs three times it.
        return Amount(
            self.money + other.money,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.tokens + other.tokens,
            self.model_calls + other.model_calls,
            self.tool_calls + other.tool_calls,
            self.active_time + other.active_time,
        )

    def __sub__(self, other: Amount) -> Amount:
        return Amount(
            self.money - other.money,
            self.input_tokens - other.input_tokens,
            self.output_tokens - other.output_tokens,
            self.tokens - other.tokens,
            self.model_calls - other.model_calls,
            self.tool_calls - other.tool_calls,
            self.active_time - other.active_time,
        )

    def __bool__(self) -> bool:
        return any(self.values)

    def no_less_than(self, other: Amount) -> Amount:
        """The greater of each."""
        return Amount(*(max(a, b) for a, b in zip(self.values, other.values, strict=True)))

    def covers(self, other: Amount) -> bool:
        """Whether there is as much of each dimension as in `other`."""
        return all(a >= b for a, b in zip(self.values, other.values, strict=True))

    def to_json(self) -> dict[str, int]:
        """Only what is not nothing."""
        return {name: n for name, n in zip(DIMENSIONS, self.values, strict=True) if n}

    @classmethod
    def from_json(cls, told: Mapping[str, Any] | None) -> Self:
        """The reverse. What a newer release may have counted besides is left out."""
        return cls(**{name: int(told[name]) for name in DIMENSIONS if name in told} if told else {})


NOTHING = Amount()
"""No amount at all."""


def in_words(dimension: str, n: int) -> str:
    """So much of a dimension, for people."""
    if dimension == "money":
        return dollars(n)
    if dimension in ("active_time", "wall_clock"):
        return f"{n / 1e6:,.1f} s"
    return f"{n:,} {dimension.replace('_', ' ')}"


def share_in_words(dimension: str, n: int, most: int) -> str:
    """So much of what may be used: `$0.80 of $1.00`, `2 of 5 model calls`."""
    if dimension in ("money", "active_time", "wall_clock"):
        return f"{in_words(dimension, n)} of {in_words(dimension, most)}"
    return f"{n:,} of {in_words(dimension, most)}"
