"""What the tellings of single entries share: what is open in a run, the words of a fact, how a payload is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import pydantic_core

from ..core.digests import arguments_digest
from ..core.ids import RunRef
from ..journal import Entry

__all__ = ["State", "Telling", "Words", "as_object", "digest_in", "text", "told_by"]


@dataclass(slots=True)
class Words:
    """What a fact says beside what every fact has."""

    what: str
    by: str | None = None
    tool: str | None = None
    outcome: str | None = None
    digest: str | None = None
    key: str | None = None
    why: str | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    contents: dict[str, Any] = field(default_factory=dict[str, Any])
    quiet: bool = False


class State:
    """What is known of a run by its entries so far: who, for whom, and what is open."""

    def __init__(self, ref: RunRef, *, agent: str, version: str) -> None:
        self.ref = ref
        self.agent = agent
        self.version = version
        self.behalf: str | None = None
        self.generation = 1
        self.origin: dict[str, Any] = {}
        """of a fork: what it was taken from"""
        self.taken = 0
        """entries up to here were taken over"""
        self.effects: dict[str, str | None] = {}
        """tools whose effect was begun, by step"""
        self.waits: dict[str, str] = {}
        """reasons, by step"""

    def me(self) -> str:
        """The agent, as one who does something."""
        return f"agent:{self.agent}"

    def principal(self, told: dict[str, Any]) -> None:
        """On whose behalf it goes on."""
        by = told.get("by")
        if isinstance(by, str):
            self.behalf = by


Telling: TypeAlias = Callable[[State, Entry, dict[str, Any], Any], Words]
"""Gets what is known so far, an entry, its payload where that is an object, and its payload."""


def as_object(value: Any) -> dict[str, Any]:
    """A JSON object, or an empty one for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def told_by(entry: Entry) -> tuple[Any, bool]:
    """An entry's payload, and whether it can be read: it cannot where it was erased, or its key destroyed."""
    if entry.erased:
        return None, False
    if not entry.payload:
        return None, True
    try:
        return pydantic_core.from_json(entry.payload), True
    except ValueError:
        return None, False


def text(value: Any) -> str | None:
    """Text, or None for anything else."""
    return value if isinstance(value, str) else None


def digest_in(told: dict[str, Any], name: str) -> str | None:
    """As a token binds arguments: SHA-256 of canonical JSON, base64url.

    None where there is nothing, or it is no JSON.
    """
    if told.get(name) is None:
        return None
    try:
        return arguments_digest(told[name])
    except ValueError:
        return None
