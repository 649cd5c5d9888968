"""Where a question about a call stands: the fold of what the journal holds of it.

VERDICT waived        the rule of the tool says that nobody need be asked
WAITING               somebody is asked: what is shown, its digest, whom, until when
VERDICT reminded      they were reminded
VERDICT passed        they did not answer in time, or have too much to do: the next are asked
VERDICT supported     one of several who have to approve has; the question stays open
VERDICT refused       an answer came that does not count, and why; the question stays open
VERDICT approved      stands with the INTENT, in one append: the answer is used up by it
VERDICT denied        somebody said no, or nobody said anything; a FAILED follows
VERDICT defaulted     nobody answered, and a value was named for that: a RESULT stands with it, in one append
VERDICT withdrawn     the branch lost a race: nobody waits for the answer any more
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from ...core.clock import to_micros
from ...core.people import person
from ...journal import Entry, Kind, WaitReason
from .approvers import Approvers

__all__ = ["STAGE", "Enquiry", "edits_in", "used_up"]

STAGE = "approval"


@dataclass(slots=True)
class Enquiry:
    """A question about one tool of one step."""

    waived: bool = False
    policy: Approvers | None = None
    """None: nobody has been asked"""
    digest: str = ""
    nonce: str = ""
    """the question's own, for those who sign their answers"""
    waiting: dict[str, Any] = field(default_factory=dict[str, Any])
    """the payload of its WAITING"""
    opened_at: int = 0
    place: int = 0
    """in the route"""
    people: list[str] | None = None
    """who may answer: all who were asked so far; None: nobody in particular was"""
    held: dict[str, int] = field(default_factory=dict[str, int])
    """who would be asked, had they not too much to do, and when there is room again"""
    nobody: bool = False
    """all are held back"""
    due: int | None = None
    remind_at: int | None = None
    supporters: list[str] = field(default_factory=list[str])
    """who has approved, where one is not enough"""
    refused: int = 0
    """answers that did not count"""
    used: dict[str, Any] | None = None
    """the VERDICT that let a call pass"""
    denied: dict[str, Any] | None = None

    @classmethod
    def of(cls, trail: Sequence[Entry], tool: str, gate: str | None = None) -> Enquiry:
        """From the trail of a step; a step may have asked for several tools: its own, and fallbacks.

        `gate` is the role for which a policy asks; None: the tool's own rule does.
        """
        enquiry = cls()
        for entry in trail:
            if entry.kind in (Kind.WAITING, Kind.VERDICT):
                told: dict[str, Any] = pydantic_core.from_json(entry.payload)
                about = told.get("tool") == tool and told.get("gate") == gate
                if about and WaitReason.APPROVAL in (told.get("on"), told.get("stage")):
                    enquiry.add(entry, told)
        return enquiry

    def add(self, entry: Entry, told: dict[str, Any]) -> None:
        """One more entry."""
        if entry.kind == Kind.WAITING:
            self.policy = Approvers.recorded(told["policy"])
            self.digest, self.waiting, self.opened_at = told["digest"], told, entry.at
            self.nonce = told.get("nonce", "")
            self.refused, self.used, self.denied, self.supporters = 0, None, None, []
            self.people = []
            self._asked(told, entry.at)
            return
        match told["verdict"]:
            case "waived":
                self.waived = True
            case "passed":
                self._asked(told, entry.at)
            case "reminded":
                self._remind(entry.at)
            case "refused":
                self.refused += 1
            case "supported":
                self.supporters.append(person(told["by"]))
            case "approved":
                self.used = told
            case "denied":
                self.denied = told
            case _:
                pass

    def _asked(self, told: dict[str, Any], at: int) -> None:
        people: list[str] | None = told["people"]
        self.place, self.due = told["place"], told["due"]
        self.held, self.nobody = told["held"], told["nobody"]
        # Who was asked before may still answer, as long as the question is open.
        self.people = None if people is None else list(dict.fromkeys([*(self.people or ()), *people]))
        self._remind(at)

    def _remind(self, at: int) -> None:
        remind = None if self.policy is None or self.nobody else self.policy.remind
        self.remind_at = None if remind is None else at + to_micros(remind)

    @property
    def wake(self) -> int | None:
        """When something is to be done, should nobody answer."""
        return min((t for t in (self.due, self.remind_at) if t is not None), default=None)


def used_up(trail: Sequence[Entry]) -> dict[str, Any] | None:
    """The approval under which the last attempt went, whichever tool it was for."""
    for entry in reversed(trail):
        if entry.kind == Kind.VERDICT:
            told: dict[str, Any] = pydantic_core.from_json(entry.payload)
            if told.get("stage") == STAGE and told.get("verdict") == "approved":
                return told
    return None


def edits_in(trail: Sequence[Entry]) -> dict[str, Any] | None:
    """The arguments that somebody put in place of the proposed ones, as JSON values; None: those stand."""
    used = used_up(trail)
    return None if used is None or used.get("edited") is None else used["edited"]["arguments"]
