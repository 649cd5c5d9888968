"""A journal, folded for replay: what each step is known to have done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pydantic_core

from ...journal import Entry, Kind

__all__ = ["History", "StepRecord", "as_replayed", "at_its_end", "scope_of"]

_FINAL = frozenset({Kind.RESULT, Kind.FAILED, Kind.VALUE, Kind.DECISION, Kind.PROGRESS})
_DELIVERED = frozenset({Kind.RESULT, Kind.FAILED})
_TRAIL = frozenset(
    {Kind.INTENT, Kind.UNKNOWN, Kind.SETTLED, Kind.WAITING}
    | {Kind.ATTEMPT, Kind.RESERVED, Kind.VERDICT, Kind.COMPACTED}
)
_TAKES = frozenset({Kind.SETTLED, Kind.VERDICT})
"""Of the trail: entries that name the message that they go back to."""
_BEHIND_AN_END = frozenset({Kind.CLAIMED, Kind.ACCEPTED, Kind.MESSAGE, Kind.ENDED})
"""What comes first in a run that was let go on from quarantine; all else was added to its end."""
_PATCH = "patched."


class StepRecord:
    """What the journal holds of one step."""

    __slots__ = ("drifted", "final", "fingerprint", "key", "trail")

    def __init__(self, key: str, fingerprint: bytes) -> None:
        self.key = key
        self.fingerprint = fingerprint
        self.final: Entry | None = None
        """its RESULT, FAILED, VALUE, DECISION or PROGRESS"""
        self.trail: list[Entry] = []
        """its INTENT, UNKNOWN, SETTLED and WAITING, in order, and what the boundary wrote before its effect"""
        self.drifted = False

    @property
    def first(self) -> Entry:
        """The earliest entry of the step."""
        found = self.trail[0] if self.trail else self.final
        assert found is not None
        return found


class History:
    """The steps of a run by key, the order in which results were handed out, and the messages that came."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.steps: dict[str, StepRecord] = {}
        self.order: list[int] = []
        """`seq` of each result and error, in the order in which they are to be handed out"""
        self.messages: list[Entry] = []
        self.taken: set[int] = set()
        """`seq` of messages that a step has received"""
        self.paused = False
        self.cancel: Entry | None = None
        self.last_mismatch: Entry | None = None
        self.started = entries[0]
        """STARTED, or the CONTINUED with which this generation began"""
        self._claimed: Entry | None = None
        self.per_scope: dict[str, int] = {}
        """steps of each scope that replay has not asked for yet"""
        self.patches: set[str] = set()
        """names of the patches that the run has taken; no steps: the call may go from the code, and no run breaks"""
        for entry in as_replayed(entries):
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        kind = entry.kind
        if kind == Kind.VALUE and entry.key.startswith(_PATCH):
            self.patches.add(entry.key.removeprefix(_PATCH))
        elif kind in _FINAL:
            record = self._record(entry)
            record.final = entry
            if kind in _DELIVERED:
                self.order.append(entry.seq)
                if record.trail and record.trail[-1].kind == Kind.WAITING and kind == Kind.RESULT:
                    source = pydantic_core.from_json(entry.payload)
                    if isinstance(source, dict):
                        self.taken.add(source.get("from", 0))  # pyright: ignore[reportUnknownMemberType,reportUnknownArgumentType]  # JSON
        elif kind in _TRAIL:
            self._record(entry).trail.append(entry)
            if kind in _TAKES:
                self.taken.add(pydantic_core.from_json(entry.payload).get("from") or 0)
        elif kind == Kind.MESSAGE:
            message: Any = pydantic_core.from_json(entry.payload)
            if message["kind"] not in ("budget", "go_on"):  # those are for no step
                self.messages.append(entry)
            match message["kind"]:
                case "pause":
                    self.paused = True
                case "resume":
                    self.paused = False
                case "cancel":
                    self.cancel = entry
                case _:
                    pass
        elif kind == Kind.DRIFT and entry.key in self.steps:
            self.steps[entry.key].drifted = True
        elif kind == Kind.MISMATCH:
            self.last_mismatch = entry
        elif kind == Kind.CLAIMED:
            self._claimed = entry

    @property
    def policies(self) -> str | None:
        """The version of the policies by which this generation is judged; None: it has none, or was never claimed."""
        if self._claimed is None:
            return None
        return pydantic_core.from_json(self._claimed.payload).get("policies")

    @property
    def behaviour(self) -> str | None:
        """The digest of what the code did in the segment before."""
        told: dict[str, Any] = {} if self._claimed is None else pydantic_core.from_json(self._claimed.payload)
        return told.get("behaviour", {}).get("digest")

    def _record(self, entry: Entry) -> StepRecord:
        record = self.steps.get(entry.key)
        if record is None:
            record = self.steps[entry.key] = StepRecord(entry.key, entry.fingerprint)
            scope = scope_of(entry.key)
            self.per_scope[scope] = self.per_scope.get(scope, 0) + 1
        return record


def as_replayed(entries: Sequence[Entry]) -> Sequence[Entry]:
    """The journal as a replay reads it: without the steps that were set aside, up to the entry that says so.

    And without what was added behind an end: a fork, a retry, or a run that was let go from quarantine knows nothing of
    what became of it before.
    """
    found = _without_annotations(entries)
    for accepted in [e for e in entries if e.kind == Kind.ACCEPTED]:
        told: dict[str, Any] = pydantic_core.from_json(accepted.payload)
        gone = {aside["step"] for aside in told["set_aside"]}
        over = accepted.seq
        found = [
            e
            for e in found
            if e.seq > over or not (e.key in gone or e.kind in (Kind.MISMATCH, Kind.ACCEPTED))
        ]
    return found


def at_its_end(entries: Sequence[Entry]) -> bool:
    """Whether the run has ended, and was not let go on since."""
    found = _without_annotations(entries)
    return bool(found) and found[-1].kind == Kind.ENDED


def _without_annotations(entries: Sequence[Entry]) -> Sequence[Entry]:
    if all(e.kind != Kind.ENDED for e in entries):
        return entries
    kept: list[Entry] = []
    ended = False
    for e in entries:
        if ended and e.kind not in _BEHIND_AN_END:
            continue
        ended = e.kind == Kind.ENDED
        kept.append(e)
    return kept


def scope_of(key: str) -> str:
    """The path of the scope that a key stands in: everything up to the last `/`, with it; empty for the root."""
    return key[: key.rfind("/") + 1]
