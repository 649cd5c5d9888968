"""What a run had tried, for the human who goes on with it: bounded, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pydantic_core

from ...journal import Entry, Kind
from ..replay.history import as_replayed

__all__ = ["tried"]

MOST = 20
"""Of each kind, the last."""

LONGEST = 500
"""Characters of a text."""


def tried(entries: Sequence[Entry]) -> dict[str, Any]:
    """A digest of a journal: failed attempts and steps, writes that were done or are in doubt, progress, decisions.

    `left_out` counts what did not fit.
    """
    told = _Digest()
    for entry in as_replayed(entries):
        if not entry.erased and (tell := _TELL.get(entry.kind)) is not None:
            tell(told, entry)
    told.doubts()
    lists = {"failed": told.failed, "done": told.done, "decided": told.decided, "in_doubt": told.in_doubt}
    left = {name: len(found) - MOST for name, found in lists.items() if len(found) > MOST}
    return {
        "steps": told.steps,
        "attempts": told.attempts,
        "progress": told.progress,
        **{name: found[-MOST:] for name, found in lists.items()},
        "left_out": left,
    }


class _Digest:
    def __init__(self) -> None:
        self.steps = 0
        self.attempts = 0
        self.progress: Any = None
        self.failed: list[dict[str, Any]] = []
        self.done: list[dict[str, Any]] = []
        self.decided: list[dict[str, Any]] = []
        self.in_doubt: list[dict[str, Any]] = []
        self.open: dict[str, dict[str, Any]] = {}
        """effects that have begun, by step"""

    def attempt(self, entry: Entry) -> None:
        told = _fields(entry)
        self.attempts += 1
        error = _fields_of(told.get("error"))
        self._fail(entry, error, told.get("class"))

    def fail(self, entry: Entry) -> None:
        told = _fields(entry)
        self.open.pop(entry.key, None)
        diagnosis = _fields_of(told.get("diagnosis"))
        self._fail(entry, told, diagnosis.get("failure"))

    def _fail(self, entry: Entry, error: dict[str, Any], failure: Any) -> None:
        name = str(error.get("type", "")).rpartition(":")[2]
        self.failed.append(
            {"step": entry.key, "error": _short(f"{name}: {error.get('message', '')}"), "class": failure}
        )

    def intend(self, entry: Entry) -> None:
        told = _fields(entry)
        self.open[entry.key] = {
            "step": entry.key,
            "tool": told.get("tool"),
            "arguments": _short(pydantic_core.to_json(told.get("arguments")).decode()),
            "key": told.get("key"),
        }

    def finish(self, entry: Entry) -> None:
        self.steps += 1
        effect = self.open.pop(entry.key, None)
        if effect is not None:
            self.done.append({**effect, "result": _short(entry.payload.decode(errors="replace"))})

    def settle(self, entry: Entry) -> None:
        if not _fields(entry).get("happened"):
            self.open.pop(entry.key, None)

    def decide(self, entry: Entry) -> None:
        told = _fields(entry)
        choice = pydantic_core.to_json(told.get("choice")).decode()
        self.decided.append(
            {"step": entry.key, "choice": _short(choice), "reason": _short(str(told.get("reason") or ""))}
        )

    def go(self, entry: Entry) -> None:
        self.progress = _fields(entry)

    def doubts(self) -> None:
        """What has begun and has no end."""
        self.in_doubt = list(self.open.values())


_TELL: dict[int, Callable[[_Digest, Entry], None]] = {
    Kind.ATTEMPT: _Digest.attempt,
    Kind.FAILED: _Digest.fail,
    Kind.INTENT: _Digest.intend,
    Kind.RESULT: _Digest.finish,
    Kind.SETTLED: _Digest.settle,
    Kind.DECISION: _Digest.decide,
    Kind.PROGRESS: _Digest.go,
}


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _fields(entry: Entry) -> dict[str, Any]:
    return _fields_of(pydantic_core.from_json(entry.payload) if entry.payload else None)


def _fields_of(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
