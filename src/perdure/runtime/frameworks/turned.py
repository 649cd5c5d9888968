"""What a model turn of somebody else's framework gave, as the journal holds it: the reply, and what is seen of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pydantic_core

from ...core.codec import Shape
from ...governance.policy.stated import Stated
from ..conversation.messages import Usage
from .offering import Offering

__all__ = ["Seen", "TurnShape", "Turned"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is to be seen of a framework's reply without the framework."""

    usage: Usage = field(default_factory=Usage)
    model: str | None = None
    """that answered, as the provider names it"""
    finish_reason: str | None = None
    calls: Sequence[str] = ()
    """names of the tools that it chose"""
    text: str | None = None
    """what it says about them"""
    reasoning: str | None = None
    """the provider's summary of its reasoning, where it gives one"""


@dataclass(frozen=True, slots=True)
class Turned(Generic[T]):
    """The value of a turn's RESULT."""

    reply: T
    usage: Usage
    model: str | None
    asked: Mapping[str, str]
    seen: Seen | None = None
    """of a live turn"""
    stated: Sequence[Any] = ()
    """how sure the model says that it is of the calls that it chose: see `Offering.told`"""
    answer: Stated | None = None
    """the same of its answer; None: it says nothing, or has not answered yet"""


class TurnShape(Generic[T]):
    """Writes the framework's reply with what is seen of it, and reads both back: the same way live as on replay."""

    def __init__(
        self,
        reply: Shape[T],
        see: Callable[[T], Seen],
        asked: Mapping[str, str],
        uncovered: Sequence[str],
        offering: Offering | None,
    ) -> None:
        self._reply = reply
        self._see = see
        self._asked = asked
        self._uncovered = uncovered
        self._offering = offering

    def round_trip(self, value: Any) -> tuple[bytes, Any]:
        """As `Shape.round_trip`."""
        data, reply = self._reply.round_trip(value)
        seen = self._see(reply)
        told: dict[str, Any] = {
            "usage": seen.usage.counted(),
            "model": seen.model,
            "finish_reason": seen.finish_reason,
            "asked": self._asked,
        }
        if self._uncovered:
            told["uncovered"] = self._uncovered
        stated = () if self._offering is None else self._offering.told()
        if stated:
            told["stated"] = stated
        answer = None if self._offering is None else self._offering.answer
        if answer is not None:
            told["sure"] = answer.told()
        return pydantic_core.to_json(told)[:-1] + b',"reply":' + data + b"}", Turned(
            reply, seen.usage, seen.model, self._asked, seen, stated, answer
        )

    def load(self, data: bytes) -> Any:
        """As `Shape.load`."""
        told: dict[str, Any] = pydantic_core.from_json(data)
        reply = self._reply.load(pydantic_core.to_json(told["reply"]))
        usage, stated = Usage.model_validate(told["usage"]), told.get("stated", ())
        return Turned(
            reply,
            usage,
            told["model"],
            told["asked"],
            stated=stated,
            answer=None if "sure" not in told else Stated.recorded(told["sure"]),
        )
