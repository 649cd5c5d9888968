"""What folds read of an entry without failing: the fields of its payload, the name of its step."""

from __future__ import annotations

from typing import Any, cast

import pydantic_core

from ..journal import Entry

__all__ = ["fields", "step_name"]


def fields(entry: Entry) -> dict[str, Any]:
    """The payload where it is an object that can be read; else nothing."""
    if not entry.payload or entry.erased:
        return {}
    try:
        value: Any = pydantic_core.from_json(entry.payload)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def step_name(key: str) -> str:
    """Of `gather.0/look:2` it is `look`."""
    name = key.rpartition("/")[2]
    head, colon, n = name.rpartition(":")
    return head if colon and n.isdigit() else name
