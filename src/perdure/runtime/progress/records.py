"""The records of a series: work items with what was tried, notes, the runs before, and all of it as a `Handover`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from ...core.errors import ConfigError

__all__ = [
    "SERIES_LABEL",
    "Attempt",
    "Handover",
    "WorkItem",
    "ItemState",
    "Note",
    "PastRun",
    "check_item",
]

SERIES_LABEL = "series"
"""Of every run of a series: its name."""

LONGEST_ITEM = 200
"""Bytes of an item's id."""


class ItemState(StrEnum):
    """How far a work item is."""

    OPEN = "open"
    """nobody has begun it"""
    IN_HAND = "in_hand"
    """a run that goes on has it"""
    HALF_DONE = "half_done"
    """a run that has ended had begun it"""
    DONE = "done"
    FAILED = "failed"
    """given up; it is not handed out again, unless somebody sets it to `open`"""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Attempt(_Record):
    """What was tried on an item, without success."""

    what: str
    why: str | None = None
    """it did not work"""
    evidence: Any = None
    run: str
    at: datetime


class WorkItem(_Record):
    """A work item, as the journals of its series tell."""

    id: str
    title: str = ""
    state: ItemState = ItemState.OPEN
    said: str | None = None
    """the last that a run said of it"""
    why: str | None = None
    evidence: Any = None
    run: str | None = None
    """that said so last"""
    at: datetime | None = None
    tried: tuple[Attempt, ...] = ()
    """without success, the oldest first"""
    runs: tuple[str, ...] = ()
    """that worked on it"""


class Note(_Record):
    """What a run left for the next."""

    text: str
    run: str
    at: datetime


class PastRun(_Record):
    """A run of the series before this one."""

    id: str
    status: str
    reason: str | None = None
    """why it waits, or how it ended; None also where that is not told"""
    said: str | None = None
    """its last progress"""
    began_at: datetime
    ended_at: datetime | None = None
    gone: str | None = None
    """why its notes are not here: `pruned`, `erased`, or `withheld` (another person's data); None: they are"""


class Handover(_Record):
    """What the next run of a series finds: what was done, failed, half done and tried, and what it should know."""

    series: str
    number: int
    """of the run that is to go on, from 1"""
    items: tuple[WorkItem, ...] = ()
    """in the order in which they were listed"""
    notes: tuple[Note, ...] = ()
    """the oldest first"""
    runs: tuple[PastRun, ...] = ()
    """the last ones, the oldest first"""
    left_out: dict[str, int] = {}
    """how many more there are of `notes` and `runs`, older ones"""
    heard: tuple[str, ...] = ()
    """labels of what the runs before had read when they wrote this, as `untrusted`"""

    def of_state(self, state: ItemState) -> tuple[WorkItem, ...]:
        """The items in one state."""
        return tuple(item for item in self.items if item.state is state)

    @property
    def open(self) -> tuple[WorkItem, ...]:
        """Items that nobody has begun."""
        return self.of_state(ItemState.OPEN)

    @property
    def done(self) -> tuple[WorkItem, ...]:
        """Items that need no more work."""
        return self.of_state(ItemState.DONE)

    @property
    def half_done(self) -> tuple[WorkItem, ...]:
        """Items at which a run ended."""
        return self.of_state(ItemState.HALF_DONE)

    @property
    def failed(self) -> tuple[WorkItem, ...]:
        """Items that were given up."""
        return self.of_state(ItemState.FAILED)

    def item(self, id: str) -> WorkItem | None:
        """The item of that id."""
        return next((item for item in self.items if item.id == id), None)

    def markdown(self) -> str:
        """The page that people read, and that a prompt may hold."""
        from .page import markdown

        return markdown(self)


def check_item(id: str) -> str:
    """Return `id` if it can name a work item; raise `ConfigError` if not."""
    if not id or len(id.encode(errors="replace")) > LONGEST_ITEM or not id.isprintable():
        raise ConfigError(
            f"`{id[:80]!r}` cannot name a work item: use 1 to {LONGEST_ITEM} bytes of printable text"
        )
    return id
