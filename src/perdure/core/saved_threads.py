"""Threads as LangGraph's own savers keep them, in words of no library: what is read from their tables to be taken over.

A value is a kind and bytes, as LangGraph's serializer wrote them; nothing here reads what is in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

__all__ = ["SavedCheckpoint", "SavedThreads", "SavedWrite", "Typed"]

Typed: TypeAlias = tuple[str, bytes]
"""`("msgpack", ...)`, `("json", ...)`, `("null", b"")`, ..."""


@dataclass(frozen=True, slots=True)
class SavedWrite:
    """What one task wrote to one channel, before its step was over."""

    task: str
    path: str
    """by which the writes of a step are ordered; empty where an older saver did not keep it"""
    index: int
    channel: str
    value: Typed


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """One row of checkpoints, and what belongs to it."""

    ns: str
    id: str
    parent: str | None
    checkpoint: Typed
    metadata: bytes
    """JSON"""
    values: Mapping[str, Typed]
    """of channels, where they stand beside the checkpoint; what is in it besides stands in it"""
    writes: Sequence[SavedWrite]


class SavedThreads(Protocol):
    """The tables of a saver, as they were when they were opened. Only read."""

    name: str
    """of the database, without a password"""

    def threads(self) -> list[str]:
        """The ids of all threads, in order."""
        ...

    def checkpoints(self, thread: str) -> Iterator[SavedCheckpoint]:
        """Those of a thread: in each namespace the oldest first. Raises `StoreError`."""
        ...

    def close(self) -> None:
        """Leave it."""
        ...
