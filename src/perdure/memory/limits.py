"""What every backend of sessions takes, and what it refuses in the same words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pydantic_core

from ..core.errors import ConfigError
from .port import Origin

__all__ = [
    "DONE_FOR",
    "LONGEST_ITEM",
    "MOST",
    "check_lifetime",
    "check_page",
    "item_bytes",
    "origin_fields",
    "origin_from",
    "too_few",
    "value_name",
]

LONGEST_ITEM = 256 * 1024
"""Bytes of one message or value as JSON. What is longer belongs into a file or a blob, and its name here."""
LONGEST_KEY = 300
MOST = 1000
"""Items of one page."""
DONE_FOR = timedelta(days=90)
"""So long is it remembered that a write was done: longer than a run lies between its write and its record."""


def item_bytes(told: dict[str, Any], *, what: str, longest: int = LONGEST_ITEM) -> bytes:
    """An item as JSON. Raises `ConfigError` where it is too long."""
    data = pydantic_core.to_json(told)
    if len(data) > longest:
        raise ConfigError(
            f"the {what} has {len(data):,} bytes; a session keeps items of at most {longest:,}: keep it "
            "elsewhere, and its name here"
        )
    return data


def value_name(name: str) -> str:
    """The key of a value in which no character parts anything. Raises `ConfigError` for what is no key."""
    quoted = quote(name, safe="")
    if not name or "\0" in name or len(quoted) > LONGEST_KEY:
        raise ConfigError(
            f"`{name[:80]}` cannot be the key of a value: give 1 to about 100 characters without U+0000"
        )
    return quoted


def check_page(limit: int) -> int:
    """How much is read at once. Raises `ConfigError`."""
    if not 1 <= limit <= MOST:
        raise ConfigError(f"`{limit}` items cannot be read at once: ask for 1 to {MOST}, page by page")
    return limit


def check_lifetime(ttl: timedelta | None) -> timedelta | None:
    """How long something is kept; None: for good. Raises `ConfigError`."""
    if ttl is not None and ttl <= timedelta(0):
        raise ConfigError(f"`{ttl}` is not how long something can be kept: give a time above zero")
    return ttl


def too_few(session: str, there: int, upto: int) -> ConfigError:
    """The error of a summary of more messages than there are."""
    return ConfigError(
        f"session `{session[:80]}` has {there} messages, and cannot be summed up to number `{upto}`: "
        "take the `n` of a message that was read"
    )


def origin_fields(origin: Origin) -> dict[str, Any]:
    """An origin among the fields of an item."""
    return {"run": origin.run, "step": origin.step, "labels": sorted(origin.labels)}


def origin_from(told: dict[str, Any]) -> Origin:
    """The origin among the fields of an item."""
    return Origin(run=told["run"], step=told["step"], labels=tuple(told["labels"]))
