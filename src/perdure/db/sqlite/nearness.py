"""How near vectors are, in SQL: by the extension `sqlite-vec`, or where that is not installed by the same in Python.

vec_distance_hamming(vec_bit(signs), vec_bit(signs))   how many signs differ
vec_distance_cosine(vector, vector)                    1 - the cosine
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import apsw

from ...memory.working.vectors import differing, product
from .connection import Connection

__all__ = ["give_nearness", "has_extension"]


def give_nearness(connection: Connection) -> bool:
    """Let the connection's SQL compare vectors; whether the extension does it, which is ten times faster."""
    try:
        library = _library()
        connection.enable_load_extension(True)
        try:
            connection.load_extension(library)
        finally:
            connection.enable_load_extension(False)  # SQL may load nothing
    except (ImportError, AttributeError, apsw.Error):  # or a SQLite that was built without extensions
        connection.create_scalar_function("vec_bit", _same, 1, deterministic=True)
        connection.create_scalar_function("vec_distance_hamming", differing, 2, deterministic=True)
        connection.create_scalar_function("vec_distance_cosine", _apart, 2, deterministic=True)
        return False
    return True


def has_extension() -> bool:
    """Whether it is installed, and can be loaded."""
    connection: Any = apsw.Connection(":memory:")
    try:
        return give_nearness(connection)
    finally:
        connection.close()


def _library() -> str:
    """Where the extension is. Its package is not imported: that loads numpy, if it is there, into every process."""
    found = find_spec("sqlite_vec")
    if found is None or found.origin is None:
        raise ImportError("sqlite_vec")
    return str(Path(found.origin).with_name("vec0"))


def _same(signs: bytes) -> bytes:
    return signs


def _apart(one: bytes, other: bytes) -> float:
    return 1 - product(one, other)
