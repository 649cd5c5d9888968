"""How what is sealed is told from what is not, without a key and without the library that opens it."""

from __future__ import annotations

import pydantic_core

__all__ = ["BYTES_MARK", "PERSONAL", "TEXT_MARK", "sealed_cell"]

TEXT_MARK = "sealed.1:"
BYTES_MARK = b"\x01"
"""No JSON begins with it."""

PERSONAL = frozenset(
    {"cache", "notice", "precedent", "said", "series"}
    | {"memory_proposal", "memory_session", "session_message", "session_value"}
    | {"working_space", "working_mark", "working_item"}
)
"""Kinds of cells that hold what runs have said: a data subject's are sealed. All others hold names and numbers."""

_CELL_MARK = b'{"sealed":'


def sealed_cell(data: bytes) -> tuple[str, str] | None:
    """Whose data a sealed cell holds, and that data; None: it is not sealed."""
    if not data.startswith(_CELL_MARK):
        return None
    told = pydantic_core.from_json(data)["sealed"]
    return told["subject"], told["data"]
