"""Vectors as bytes: numbers of 4 bytes, the lowest first, as SQLite's and PostgreSQL's extensions read them."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from ...core.errors import ConfigError

__all__ = ["MOST_DIMENSIONS", "comparable", "differing", "packed", "product", "signs", "unpacked"]

MOST_DIMENSIONS = 4000
"""What both extensions can index."""


def packed(numbers: Sequence[float]) -> bytes:
    """The vector, of length 1, so that a product is a cosine. Raises `ConfigError` for what is none."""
    if not 1 <= len(numbers) <= MOST_DIMENSIONS:
        raise ConfigError(
            f"a vector of {len(numbers):,} numbers cannot be kept: take a model of at most {MOST_DIMENSIONS:,} "
            "dimensions"
        )
    length = math.sqrt(math.fsum(n * n for n in numbers))
    if not math.isfinite(length):
        raise ConfigError(
            "a vector has numbers that are none (infinite, or not a number): its model is broken"
        )
    return struct.pack(f"<{len(numbers)}f", *((n / length for n in numbers) if length else numbers))


def unpacked(vector: bytes) -> tuple[float, ...]:
    """The numbers."""
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def comparable(model: str, vector: bytes) -> str:
    """The name under which vectors are kept that can be compared: of one model, and of as many numbers."""
    return f"{model}/{len(vector) // 4}"


def signs(vector: bytes) -> bytes:
    """A bit for each number, set where it is above zero; the first is the lowest bit of the first byte.

    The angle between two vectors shows in how many of their signs differ (Charikar, "Similarity estimation techniques
    from rounding algorithms", STOC 2002), and 32 times less is read to see it.
    """
    found = bytearray((len(vector) // 4 + 7) // 8)
    for i, number in enumerate(unpacked(vector)):
        if number > 0:
            found[i >> 3] |= 1 << (i & 7)
    return bytes(found)


def differing(one: bytes, other: bytes) -> int:
    """How many signs differ."""
    return (int.from_bytes(one, "little") ^ int.from_bytes(other, "little")).bit_count()


def product(one: bytes, other: bytes) -> float:
    """The product of two vectors; of those of length 1 their cosine."""
    return sum(map(float.__mul__, unpacked(one), unpacked(other)))
