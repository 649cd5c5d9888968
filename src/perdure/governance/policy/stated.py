"""How sure the model says that it is of a call, and what it does not know: two fields beside the tool's own arguments.

    what the tool takes ──► what the model is shown ──► what the model gives ─┬─► what the tool takes
      {iban, cents}           {..., confidence, unknowns}                      └─► `Stated`, for policies and people

Only the model sees them. They are taken out before anything is named, counted or approved by the arguments, so that the
same call is the same call, however sure the model is of it. What is missing or no such value counts as no confidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

__all__ = ["CERTAIN", "UNSTATED", "Fields", "Stated"]

MOST_UNKNOWNS = 50
LONGEST_UNKNOWN = 500
"""Characters. What is beyond is cut off: it goes into the journal, and before people."""

_CONFIDENCE = {
    "type": "number",
    "minimum": 0,
    "maximum": 1,
    "description": "How sure you are that this is right and wanted, from 0 (a guess) to 1 (certain).",
}
_UNKNOWNS = {
    "type": "array",
    "items": {"type": "string"},
    "description": "What you do not know and would have to know to be certain. Empty if there is nothing.",
}


@dataclass(frozen=True, slots=True)
class Stated:
    """What a model says of a call, or of its answer."""

    confidence: float = 0.0
    """0 to 1"""
    unknowns: tuple[str, ...] = ()
    said: bool = False
    """it was stated, and well-formed; what was not counts as 0"""

    @classmethod
    def of(cls, confidence: Any, unknowns: Any) -> Stated:
        """From whatever the model gave."""
        number = isinstance(confidence, int | float) and not isinstance(confidence, bool)
        texts = cast("list[Any]", unknowns) if isinstance(unknowns, list) else None
        if texts is None or not all(isinstance(each, str) for each in texts):
            return UNSTATED
        kept = tuple(str(each)[:LONGEST_UNKNOWN] for each in texts[:MOST_UNKNOWNS])
        if not number or not 0 <= confidence <= 1:  # also what is not a number at all
            return cls(0.0, kept)
        return cls(float(confidence), kept, said=True)

    @classmethod
    def recorded(cls, told: Mapping[str, Any] | None) -> Stated:
        """From the journal."""
        if told is None:
            return UNSTATED
        return cls(float(told["confidence"]), tuple(told["unknowns"]), bool(told.get("said", True)))

    def told(self) -> dict[str, Any]:
        """For the journal and for people."""
        told: dict[str, Any] = {"confidence": self.confidence, "unknowns": list(self.unknowns)}
        return told if self.said else {**told, "said": False}

    def in_words(self) -> str:
        """`confidence 0.4; not known: whether the invoice was paid already`."""
        sure = f"confidence {self.confidence:g}" if self.said else "no confidence stated, which counts as 0"
        return sure + (f"; not known: {'; '.join(self.unknowns)}" if self.unknowns else "")


UNSTATED = Stated()
"""Nothing was said, or nothing that can be read."""
CERTAIN = Stated(1.0, (), said=True)
"""Of what no model proposes: the program itself calls."""


@dataclass(frozen=True, slots=True)
class Fields:
    """By which names a model states it, beside what a form has already."""

    confidence: str = "confidence"
    unknowns: str = "unknowns"

    @classmethod
    def beside(cls, form: Mapping[str, Any] | None) -> Fields:
        """Names that the form does not use itself."""
        taken: Mapping[str, Any] = (form or {}).get("properties") or {}
        if "confidence" in taken or "unknowns" in taken:
            return cls("stated_confidence", "stated_unknowns")
        return cls()

    def added(self, form: Mapping[str, Any] | None) -> dict[str, Any]:
        """The JSON schema of an object, with both fields."""
        plain: dict[str, Any] = dict(form or {"type": "object"})
        own: Mapping[str, Any] = plain.get("properties") or {}
        fields = {self.confidence: _CONFIDENCE, self.unknowns: _UNKNOWNS}
        required: list[str] = [*(plain.get("required") or ()), *fields]
        return {**plain, "properties": {**own, **fields}, "required": required}

    def taken(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], Stated]:
        """What was given, without the fields; and what they say."""
        plain = {k: v for k, v in given.items() if k not in (self.confidence, self.unknowns)}
        return plain, Stated.of(given.get(self.confidence), given.get(self.unknowns))
