"""Arrays in PostgreSQL's binary form, packed in one go.

psycopg looks up a dumper for each element of a list, in Python; a batch has fourteen columns of up to a thousand rows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

__all__ = ["Byteas", "Ints", "Texts", "register"]

_header = struct.Struct(
    ">iiIii"
).pack  # dimensions, whether there are nulls, element type, length, lower bound
_length = struct.Struct(">i").pack
_int = struct.Struct(">iq").pack

_BYTEA, _INT8, _TEXT = 17, 20, 25


class _Array:
    __slots__ = ("data",)

    def __init__(self, element: int, count: int, items: Iterable[bytes]) -> None:
        self.data = (
            b"".join((_header(1, 0, element, count, 1), *items))
            if count
            else _header(0, 0, element, 0, 1)[:12]
        )


class Ints(_Array):
    """A `bigint[]`. Raises `struct.error` for a number of more than 64 bits."""

    def __init__(self, values: Sequence[int]) -> None:
        super().__init__(_INT8, len(values), [_int(8, value) for value in values])


class Texts(_Array):
    """A `text[]`. Raises `UnicodeEncodeError` for a lone surrogate; the server refuses U+0000."""

    def __init__(self, values: Sequence[str]) -> None:
        super().__init__(_TEXT, len(values), _pieces([value.encode() for value in values]))


class Byteas(_Array):
    """A `bytea[]`."""

    def __init__(self, values: Sequence[bytes]) -> None:
        super().__init__(_BYTEA, len(values), _pieces(values))


def register(connection: psycopg.Connection[Any]) -> None:
    """Let a connection's statements take these arrays."""
    for array, dumper in ((Ints, _IntsDumper), (Texts, _TextsDumper), (Byteas, _ByteasDumper)):
        connection.adapters.register_dumper(array, dumper)


def _pieces(values: Sequence[bytes]) -> Iterable[bytes]:
    lengths = set(map(len, values))
    if len(lengths) == 1:
        # Hashes, salts and the like, all of one length: a quarter of the time that a prefix for each takes.
        prefix = _length(lengths.pop())
        return (prefix, prefix.join(values))
    return chain.from_iterable(zip(map(_length, map(len, values)), values, strict=True))


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Array) -> Buffer:
        return obj.data


class _IntsDumper(_ArrayDumper):
    oid = 1016


class _TextsDumper(_ArrayDumper):
    oid = 1009


class _ByteasDumper(_ArrayDumper):
    oid = 1001
