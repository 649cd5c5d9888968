"""What an entry holds, read for people: also where it was erased, or is of a newer release."""

from __future__ import annotations

from typing import Any, cast

import pydantic_core

from ...journal import Entry, kind_name

__all__ = ["as_list", "as_object", "body", "changed_parts", "error_name", "fields", "kind_name"]


def body(entry: Entry) -> Any:
    """The payload; None where there is none, or where it was erased."""
    return pydantic_core.from_json(entry.payload) if entry.payload and not entry.erased else None


def fields(entry: Entry) -> dict[str, Any]:
    """The payload where it is an object; else nothing."""
    return as_object(body(entry))


def as_object(value: Any) -> dict[str, Any]:
    """A JSON object, or an empty one for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """A JSON array, or an empty one for anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def changed_parts(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Names of the parts of a behaviour that differ, or that only one of the two has."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def error_name(failure: dict[str, Any]) -> str:
    """The type of a recorded error, without its module."""
    return str(failure.get("type", "")).rpartition(":")[2] or "error"
