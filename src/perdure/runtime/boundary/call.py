"""A call on its way across the boundary: what is asked for, by which step, and in which ways it can be answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

import pydantic_core

from ...journal import Entry, Kind
from ..replay.failure import Failure
from .reservation import Part
from .terms import NO_TERMS, Terms

if TYPE_CHECKING:
    from ..replay.recorder import Recorder
    from ..replay.scope import Scope
    from .tool import Tool

__all__ = ["Call", "Called", "CallKind", "How", "Tries", "Way"]

T = TypeVar("T")

CallKind = Literal["model", "tool", "step"]


@dataclass(slots=True)
class Way:
    """One way to answer a call: itself, or one of its fallbacks."""

    name: str
    kind: Literal["model", "tool", "step", "cache", "answer"]
    once: Callable[[], Awaitable[Any]] | None = None
    """one attempt; None: by the tool that is named"""
    terms: Terms = NO_TERMS
    tool: Tool[..., Any] | None = None


@dataclass(slots=True)
class How:
    """How a result came about. What is not live is said wherever the result is shown."""

    source: Literal["live", "cache", "fallback", "default"] = "live"
    by: str = ""
    """the tool or the model that gave it"""
    age: int | None = None
    """of a cached result, in microseconds"""
    attempts: int = 1
    because: str = ""
    """why it is not what was asked for"""

    def called(self, value: T) -> Called[T]:
        """With the result."""
        age = None if self.age is None else timedelta(microseconds=self.age)
        return Called(value, self.source, self.by, age, self.attempts, self.because)


class Called(NamedTuple, Generic[T]):
    """A result, and how it came about: what is not live is never passed off as live."""

    value: T
    source: Literal["live", "cache", "fallback", "default"]
    by: str
    """the tool that gave it"""
    age: timedelta | None
    """of a cached result"""
    attempts: int
    because: str
    """why it is not what was asked for; empty where it is"""


@dataclass(slots=True, kw_only=True)
class Call:
    """One step that crosses the boundary."""

    recorder: Recorder
    scope: Scope
    key: str
    mark: bytes
    kind: CallKind
    name: str
    """the tool's, or the model's"""
    effect: str = "read"
    terms: Terms = NO_TERMS
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    data: bytes = b"null"
    """JSON of the arguments"""
    ways: Sequence[Way] = ()
    """the call itself first, then its fallbacks"""
    estimate: Any = None
    """a function that says what a call may cost at most; see `spending`"""
    beside: Callable[[Any], Sequence[Part]] | None = None
    """what is written behind the result of the first way, in the same append"""
    how: How = field(default_factory=How)
    by_model: bool = False
    """a model proposed it; else the program itself calls"""
    handed: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """what the tool is handed beside its arguments while an attempt is under way; never written down"""
    original: tuple[dict[str, Any], bytes] | None = None
    """what the agent wanted, where a human put other arguments in its place"""

    @property
    def proposed(self) -> bytes:
        """JSON of the arguments that the agent wanted."""
        return self.data if self.original is None else self.original[1]

    def edit(self, arguments: dict[str, Any], data: bytes) -> None:
        """Let it have other arguments."""
        self.original = self.original or (self.arguments, self.data)
        self.arguments, self.data = arguments, data

    def restore(self) -> None:
        """Let it have its own arguments again."""
        if self.original is not None:
            self.arguments, self.data = self.original
            self.original = None

    def way(self, tries: Tries) -> Way:
        """The way that is tried now."""
        return self.ways[min(tries.fallen, len(self.ways) - 1)]  # a deploy may have taken fallbacks away


@dataclass(slots=True)
class Tries:
    """How far the attempts at a call have come: the fold of its ATTEMPT entries."""

    count: int = 0
    """attempts by the present way that failed"""
    total: int = 0
    since: int | None = None
    """when the first attempt by the present way began, microseconds"""
    due: int | None = None
    """when the next may begin"""
    fallen: int = 0
    """fallbacks that were gone to"""
    because: str = ""
    failure: Failure | None = None
    """of what was asked for, where it is a fallback's turn"""
    rejections: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """credentials that the other side did not take"""

    @classmethod
    def of(cls, trail: Sequence[Entry]) -> Tries:
        """From the trail of a step."""
        tries = cls()
        for entry in trail:
            if entry.kind == Kind.ATTEMPT:
                tries.add(entry)
        return tries

    def add(self, entry: Entry) -> None:
        """One more failed attempt."""
        told: dict[str, Any] = pydantic_core.from_json(entry.payload)
        if (
            told["class"] == "stopped"
        ):  # behind its intent: it was not sent, and is none of the policy's attempts
            return
        self.total += 1
        self.because = told["why"]
        if "rejected" in told:  # tried with another credential, and none of the policy's attempts either
            self.rejections.append(told["rejected"])
            self.due = None
            return
        if told.get("then") is None:
            self.count += 1
            self.since = told["since"]
            self.due = told["due"]
        else:
            self.count = 0
            self.since = None
            self.due = None
            self.fallen = told["then"]["way"]
            self.failure = self.failure or Failure.model_validate(told["error"])
