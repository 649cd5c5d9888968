"""What a run has been told so far: the fold of its journal that policies ask about.

STARTED ─► the input. Its owner vouches for it, but that of a child is no better than what its parent had heard
RESULT  ─► of a tool: under the labels that the tool declares; of a step: under none; of a child: under the child's;
           of a memory: under those that stand with it
MESSAGE ─► a human's answer to a question is vouched for, one to a call is none; a signal has no label
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pydantic_core

from ...journal import Entry, Kind
from .provenance import TRUSTED, UNTRUSTED, Source
from .stated import Stated

__all__ = ["Heard"]

_VOUCHED = frozenset({TRUSTED})
_NO_LABELS = frozenset[str]()
_ANSWER = "answer "


class Heard:
    """The sources of one run.

    Whoever makes a step says so (`calls`): before it goes live, or before its recorded result is handed out again.
    """

    def __init__(self) -> None:
        self._called: dict[str, set[str]] = {}
        """the steps in which a tool was called, whatever came of it; of an earlier generation or a parent: no step"""
        self._tools: dict[str, str] = {}
        """the tools of steps that are under way"""
        self._begun: set[str] = set()
        """steps with an intent that nobody has asked for yet"""
        self.seen: set[str] = set()
        """labels of what it has read"""
        self.sources: list[Source] = []
        self._labels: dict[str, frozenset[str]] = {}
        self._recalled: dict[str, Callable[[bytes], frozenset[str]]] = {}
        """of steps under way that read a memory: how its labels are found in what they got"""
        self._results: dict[str, bytes] = {}
        """of steps that nobody has asked for yet"""
        self._stated: dict[str, Stated] = {}
        """how sure the model is of the calls that it proposed, by their steps"""
        self.answer: Stated | None = None
        """how sure the model that answered last is of its answer; None: no model has answered"""

    def states(self, key: str, stated: Stated) -> None:
        """The model says so of the call that is that step: said again in every replay, before the step."""
        self._stated[key] = stated

    def stated(self, key: str) -> Stated | None:
        """What it says of a step; None: nobody has asked it."""
        return self._stated.get(key)

    def calls(self, key: str, tool: str | None, labels: frozenset[str] = _NO_LABELS) -> None:
        """The step of that key is a call of a tool, or a step of the program's own (None)."""
        payload = self._results.pop(key, None)
        if tool is not None:
            self._tools[key] = tool
            if payload is not None or key in self._begun:
                self._has_begun(key)
        if payload is None:
            self._labels[key] = labels
        else:
            self.told(key, payload, labels)

    def recalls(self, key: str, labels_of: Callable[[bytes], frozenset[str]]) -> None:
        """The step of that key reads a memory, in whose payload `labels_of` finds what it was written under."""
        payload = self._results.pop(key, None)
        if payload is None:
            self._recalled[key] = labels_of
        else:
            self.told(key, payload, labels_of(payload))

    def add(self, entries: Iterable[Entry]) -> None:
        """What the journal holds, or was just written, in its order."""
        for entry in entries:
            match entry.kind:
                case Kind.INTENT:
                    self._has_begun(entry.key)
                case Kind.RESULT:
                    self._has_begun(entry.key)
                    if (labels_of := self._recalled.pop(entry.key, None)) is not None:
                        self.told(entry.key, entry.payload, labels_of(entry.payload))
                        continue
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

    def sources_of(self, key: str, *, approved: bool = False) -> list[Source]:
        """What the values of the call that is this step can be traced to.

        What people say to calls is no source: a yes or a no is about values that stand there, and quotes them. With
        `approved` that on this call counts, once it has been let through: it may have put others in their place.
        """
        own = f"{_ANSWER}{key}"
        return [
            source
            for source in self.sources
            if (approved if source.name == own else not self._decides(source.name))
        ]

    def _decides(self, name: str) -> bool:
        return name.startswith(_ANSWER) and name.removeprefix(_ANSWER) in self._tools

    def called(self, *, before: str = "") -> frozenset[str]:
        """The tools that were called, by other steps than that one."""
        return frozenset(tool for tool, keys in self._called.items() if keys - {before})

    def _has_begun(self, key: str) -> None:
        tool = self._tools.get(key)
        if tool is None:
            self._begun.add(key)
        else:
            self._called.setdefault(tool, set()).add(key)

    def told(self, name: str, payload: bytes, labels: frozenset[str] = _NO_LABELS) -> None:
        """One more source."""
        self.seen |= labels - {TRUSTED}
        self.sources.append(Source(name, payload, labels))

    def handed_on(self) -> dict[str, Any]:
        """What whoever goes on with what this run knows must know of it: a child, a parent, its next generation."""
        called = self.called()
        return {"seen": sorted(self.seen), "called": sorted(called)} if self.seen or called else {}

    def _began(self, told: dict[str, Any], *, first: bool) -> None:
        before: dict[str, Sequence[str]] = told.get("heard") or {}
        self.seen |= set(before.get("seen", ()))
        for tool in before.get("called", ()):
            self._called.setdefault(tool, set()).add("another run")
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
