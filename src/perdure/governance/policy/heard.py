"""What a run has been told so far: the fold of its journal that policies ask about.

STARTED ─► the input. Its owner vouches for it, but that of a child is no better than what its parent had heard
RESULT  ─► of a tool: under the labels that the tool declares; of a step: under none; of a child: under the child's
MESSAGE ─► a human's answer is vouched for; a signal has no label
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pydantic_core

from ...journal import Entry, Kind
from .provenance import TRUSTED, UNTRUSTED, Source

__all__ = ["Heard"]

_VOUCHED = frozenset({TRUSTED})
_NO_LABELS = frozenset[str]()


class Heard:
    """The sources of one run.

    Whoever makes a step says so (`calls`): before it goes live, or before its recorded result is handed out again.
    """

    def __init__(self) -> None:
        self.called: set[str] = set()
        """tools that were called, whatever came of it"""
        self.seen: set[str] = set()
        """labels of what it has read"""
        self.sources: list[Source] = []
        self._labels: dict[str, frozenset[str]] = {}
        self._results: dict[str, bytes] = {}
        """of steps that nobody has asked for yet"""

    def calls(self, key: str, tool: str | None, labels: frozenset[str] = _NO_LABELS) -> None:
        """The step of that key is a call of a tool, or a step of the program's own (None)."""
        if tool is not None:
            self.called.add(tool)
        payload = self._results.pop(key, None)
        if payload is None:
            self._labels[key] = labels
        else:
            self.told(key, payload, labels)

    def add(self, entries: Iterable[Entry]) -> None:
        """What the journal holds, or was just written, in its order."""
        for entry in entries:
            match entry.kind:
                case Kind.RESULT:
                    labels = self._labels.pop(entry.key, None)
                    if labels is None:
                        self._results[entry.key] = entry.payload
                    else:
                        self.told(entry.key, entry.payload, labels)
                case Kind.STARTED | Kind.CONTINUED:
                    self._began(pydantic_core.from_json(entry.payload), first=entry.kind == Kind.STARTED)
                case Kind.MESSAGE:
                    self._message(pydantic_core.from_json(entry.payload))
                case _:
                    pass

    def told(self, name: str, payload: bytes, labels: frozenset[str] = _NO_LABELS) -> None:
        """One more source."""
        self.seen |= labels - {TRUSTED}
        self.sources.append(Source(name, payload, labels))

    def handed_on(self) -> dict[str, Any]:
        """What whoever goes on with what this run knows must know of it: a child, a parent, its next generation."""
        return {"seen": sorted(self.seen), "called": sorted(self.called)} if self.seen or self.called else {}

    def _began(self, told: dict[str, Any], *, first: bool) -> None:
        before: dict[str, Sequence[str]] = told.get("heard") or {}
        self.seen |= set(before.get("seen", ()))
        self.called |= set(before.get("called", ()))
        alone = first and told.get("parent") is None
        labels = _VOUCHED if alone else frozenset(before.get("seen", ())) & {UNTRUSTED}
        self.sources.append(Source("input", pydantic_core.to_json(told.get("input")), labels))

    def _message(self, told: dict[str, Any]) -> None:
        kind = told.get("kind")
        if kind in ("signal", "answer"):
            labels = _VOUCHED if kind == "answer" else _NO_LABELS
            self.told(f"{kind} {told.get('name')}", pydantic_core.to_json(told.get("body")), labels)
        elif kind == "child":
            body: dict[str, Any] = told.get("body") or {}
            heard: dict[str, Sequence[str]] = body.get("heard") or {}
            result = pydantic_core.to_json(body.get("result"))
            self.told(f"child {told.get('name')}", result, frozenset(heard.get("seen", ())))
