"""Series of runs: what was done of a goal, and what the next run finds."""

from __future__ import annotations

from typing import Literal

from .base import Json, Moment, Told

__all__ = ["AttemptOut", "HandoverOut", "ItemCounts", "NoteOut", "PastRunOut", "SeriesOut", "WorkItemOut"]

State = Literal["open", "in_hand", "half_done", "done", "failed"]


class ItemCounts(Told):
    """How many work items are in which state."""

    open: int
    in_hand: int
    half_done: int
    done: int
    failed: int


class SeriesOut(Told):
    """A series in a list."""

    series: str
    runs: int
    items: ItemCounts


class AttemptOut(Told):
    """What was tried on an item, without success."""

    what: str | None
    """null: withheld"""
    why: str | None
    evidence: Json
    run: str
    at: Moment


class WorkItemOut(Told):
    """A work item, as the journals of its series tell."""

    item: str
    title: str | None
    """null: withheld"""
    state: State
    said: str | None
    """the last that a run said of it"""
    why: str | None
    evidence: Json
    run: str | None
    """that said so last"""
    at: Moment | None
    tried: list[AttemptOut]
    runs: list[str]
    """that worked on it"""


class NoteOut(Told):
    """What a run left for the next."""

    text: str | None
    """null: withheld"""
    run: str
    at: Moment


class PastRunOut(Told):
    """A run of the series."""

    run: str
    status: str
    reason: str | None
    said: str | None
    began_at: Moment
    ended_at: Moment | None
    gone: str | None
    """why its notes are not here: `pruned`, `erased`, or `withheld` (another person's data); null: they are"""


class HandoverOut(Told):
    """What the next run of a series finds, as things stand now."""

    series: str
    subject: str | None
    """whose data the run would handle"""
    number: int
    """of the run that would come next, from 1"""
    counts: ItemCounts
    items: list[WorkItemOut]
    """in the order in which they were listed; those of one state, where that was asked for"""
    notes: list[NoteOut]
    runs: list[PastRunOut]
    left_out: dict[str, int]
    """how many more there are of `items`, `notes` and `runs`"""
    heard: list[str]
    """labels of what the runs before had read"""
    withheld: bool
    """the caller may not see what runs said: ids, states and times are here, their words are not"""
