"""The fold of a journal into what was done: each call of a tool, each question to a human, over all their entries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..journal import Entry, Kind, RunRecord
from .fact import Deed, Enquiry, Fact
from .facts import Facts
from .telling import as_object, told_by

__all__ = ["Deeds", "Story", "story_of"]


class Deeds:
    """Goes along with the facts of one run. `done` and `enquiries` fill as it goes."""

    def __init__(self) -> None:
        self.done: list[Deed] = []
        """in the order in which they began"""
        self.enquiries: list[Enquiry] = []
        self._open: dict[str, Deed] = {}
        self._asked: dict[str, Enquiry] = {}
        self._messages: dict[int, Any] = {}
        """bodies of answers, until their verdict comes"""

    def see(self, entry: Entry, fact: Fact) -> None:
        """The next entry, and the fact that it tells."""
        if fact.taken_over:
            return  # it was done by the run that this one was taken from, and is told there
        told = as_object(told_by(entry)[0])
        match entry.kind:
            case Kind.WAITING:
                self._waiting(entry, fact, told)
            case Kind.VERDICT:
                self._verdict(fact, told)
            case Kind.INTENT:
                self._intent(fact, told)
            case Kind.RESULT | Kind.FAILED:
                self._over(entry, fact)
            case Kind.UNKNOWN:
                self._doubt(fact)
            case Kind.SETTLED:
                self._settled(fact)
            case Kind.ATTEMPT:
                self._note(fact, why=True)
            case Kind.MESSAGE:
                if told.get("kind") == "answer":
                    self._messages[entry.seq] = told
            case Kind.CONTINUED | Kind.ENDED:
                self._open.clear()
                self._asked.clear()
                self._messages.clear()
            case Kind.ACCEPTED:
                for aside in told.get("set_aside") or ():
                    self._open.pop(str(as_object(aside).get("step")), None)
            case _:
                pass

    # questions -------------------------------------------------------------------------------------------------

    def _waiting(self, entry: Entry, fact: Fact, told: dict[str, Any]) -> None:
        if fact.what == "effect.asked":
            self._note(fact)
            return
        if fact.what not in ("approval.asked", "question.asked"):
            return
        known = self._asked.get(entry.key)
        if known is not None and known.digest == fact.digest:
            known.entries.append(entry.seq)  # asked again, after an answer that did not fit
            return
        asked = Enquiry(
            ref=fact.ref,
            step=entry.key,
            entry=entry.seq,
            asked_at=entry.at,
            question=str(told.get("question") or ""),
            shown=told.get("show"),
            digest=fact.digest,
            tool=fact.tool,
            beside=told.get("about"),
            people=told.get("people"),
            due=told.get("due"),
            entries=[entry.seq],
            erased=fact.erased,
        )
        self.enquiries.append(asked)
        self._asked[entry.key] = asked
        if fact.tool is not None:
            deed = self._of(fact, fact.tool)
            shown = as_object(asked.shown)
            deed.outcome = "waiting"
            deed.effect = shown.get("effect") or deed.effect
            if deed.arguments is None:
                deed.arguments = shown.get("arguments")
            deed.enquiries.append(asked)
            deed.entries.append(entry.seq)

    def _verdict(self, fact: Fact, told: dict[str, Any]) -> None:
        stage, verdict = told.get("stage"), told.get("verdict")
        asked = self._asked.get(fact.step)
        if fact.tool is not None and (fact.step in self._open or verdict in ("denied", "refused", "deny")):
            deed = self._of(fact, fact.tool)
            deed.entries.append(fact.seq)
            if verdict in ("denied", "deny") or (
                stage not in ("approval", "answer", "settle") and verdict == "refused"
            ):
                deed.outcome, deed.why, deed.ended = "denied", fact.why, fact.at
            elif stage == "approval" and verdict in ("defaulted", "withdrawn"):
                deed.outcome, deed.why = "not done", fact.why
        if asked is None:
            return
        asked.entries.append(fact.seq)
        if verdict == "refused":
            asked.refused.append(
                {"by": fact.by, "at": told.get("at"), "why": fact.why, "entry": told.get("from")}
            )
        elif verdict == "passed":
            more: list[str] = told.get("people") or []
            asked.people, asked.due = [*dict.fromkeys([*(asked.people or ()), *more])], told.get("due")
        elif verdict in ("approved", "denied", "defaulted", "withdrawn"):
            asked.decision, asked.by, asked.reason = verdict, told.get("by"), told.get("reason")
            asked.decided_at, asked.edited = told.get("at") or fact.at, told.get("edited")
            asked.signed = told.get("signed")
            self._answered(asked, told.get("from"))
            self._asked.pop(fact.step)

    def _answered(self, asked: Enquiry, source: Any) -> None:
        message = self._messages.pop(source, None) if isinstance(source, int) else None
        if message is not None:
            asked.answer = message.get("body")
            asked.entries.append(source)

    # calls -----------------------------------------------------------------------------------------------------

    def _of(self, fact: Fact, tool: str | None) -> Deed:
        deed = self._open.get(fact.step)
        if deed is None:
            deed = self._open[fact.step] = Deed(
                ref=fact.ref,
                agent=fact.agent,
                version=fact.version,
                behalf=fact.behalf,
                step=fact.step,
                tool=tool or _step_name(fact.step),
                began=fact.at,
            )
            self.done.append(deed)
        if tool is not None:
            deed.tool = tool  # a fallback is another tool
        return deed

    def _intent(self, fact: Fact, told: dict[str, Any]) -> None:
        deed = self._of(fact, fact.tool)
        deed.attempts += 1
        deed.outcome, deed.ended = "under way", None
        deed.erased = deed.erased or fact.erased
        if not fact.erased:
            deed.arguments, deed.digest, deed.key = told.get("arguments"), fact.digest, fact.key
        deed.entries.append(fact.seq)

    def _over(self, entry: Entry, fact: Fact) -> None:
        asked = self._asked.pop(fact.step, None)
        if asked is not None and fact.what == "wait.over":
            source = fact.details.get("from")
            message = self._messages.get(source) if isinstance(source, int) else None
            asked.decision, asked.decided_at = "answered" if message else "expired", fact.at
            if message is not None:
                asked.by, asked.decided_at = message.get("sender"), message.get("at") or fact.at
                asked.reason = as_object(message.get("body")).get("reason")
            self._answered(asked, source)
            asked.entries.append(fact.seq)
            return
        deed = self._open.pop(fact.step, None)
        if deed is None:
            if fact.what in ("step.done", "step.failed"):
                self._read(entry, fact)
            return
        deed.entries.append(fact.seq)
        deed.ended = fact.at
        if deed.outcome not in ("denied", "not done"):
            deed.outcome = "ok" if entry.kind == Kind.RESULT else "failed"
            deed.why = fact.why or (deed.why if entry.kind == Kind.FAILED else None)
        deed.result = fact.contents.get("result")
        deed.erased = deed.erased or fact.erased

    def _read(self, entry: Entry, fact: Fact) -> None:
        """A step without an intent: a tool that only reads, or a plain step. No entry of it holds its arguments."""
        self.done.append(
            Deed(
                ref=fact.ref,
                agent=fact.agent,
                version=fact.version,
                behalf=fact.behalf,
                step=fact.step,
                tool=_step_name(fact.step),
                began=fact.at - fact.took,
                effect="read",
                attempts=1,
                ended=fact.at,
                outcome=fact.outcome or "ok",
                why=fact.why,
                result=fact.contents.get("result"),
                entries=[entry.seq],
                erased=fact.erased,
            )
        )

    def _doubt(self, fact: Fact) -> None:
        self._note(fact, why=True)
        if (deed := self._open.get(fact.step)) is not None:
            deed.outcome = "in doubt"

    def _settled(self, fact: Fact) -> None:
        self._note(fact)
        if (deed := self._open.get(fact.step)) is not None:
            deed.settled_by = fact.by
            deed.outcome = "ok" if fact.outcome == "happened" else "did not happen"

    def _note(self, fact: Fact, *, why: bool = False) -> None:
        deed = self._open.get(fact.step)
        if deed is not None:
            deed.entries.append(fact.seq)
            deed.why = fact.why if why else deed.why


@dataclass(slots=True)
class Story:
    """A run, told whole."""

    facts: list[Fact] = field(default_factory=list[Fact])
    deeds: list[Deed] = field(default_factory=list[Deed])
    enquiries: list[Enquiry] = field(default_factory=list[Enquiry])


def story_of(record: RunRecord, entries: Iterable[Entry]) -> Story:
    """The facts of a run, what was done in it, and what was asked, from its first entry on."""
    facts, deeds, story = Facts.of(record), Deeds(), Story()
    for entry in entries:
        fact = facts.see(entry)
        deeds.see(entry, fact)
        story.facts.append(fact)
    story.deeds, story.enquiries = deeds.done, deeds.enquiries
    return story


def _step_name(key: str) -> str:
    """The name of a step by its key: that of its tool, where the step is a tool's."""
    return key.rpartition("/")[2].partition(":")[0]
