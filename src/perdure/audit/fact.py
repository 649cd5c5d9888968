"""What an auditor reads, as values: one fact of a run, one call of a tool, one question to a human."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from ..core.clock import from_micros
from ..core.ids import RunRef

__all__ = ["Deed", "Enquiry", "Fact", "iso"]


def iso(at: int | None) -> str | None:
    """A moment (microseconds) as ISO 8601 in UTC, with microseconds."""
    return None if at is None else from_micros(at).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One entry of a journal, in words that need no knowledge of Perdure's code."""

    ref: RunRef
    agent: str
    version: str
    generation: int
    seq: int
    """the entry's number in its run: with the run, the fact's name for ever"""
    at: int
    """microseconds since the Unix epoch, as the entry has it"""
    took: int
    """microseconds"""
    hash: str
    """of the entry, hexadecimal: what the chain, and a checkpoint over it, are about"""
    what: str
    """`tool.called`, `approval.approved`, `run.ended`, …: `docs/audit.md` lists them"""
    step: str = ""
    actor: str = ""
    """who wrote the entry: a worker, a client"""
    by: str | None = None
    """who did it: `agent:payables`, `user:ann`; None: nobody in particular"""
    behalf: str | None = None
    """on whose behalf the run acts"""
    tool: str | None = None
    outcome: str | None = None
    """`ok`, `failed`, `in_doubt`, `refused`, `approved`, …; None: the fact has none"""
    digest: str | None = None
    """of what the fact is about: arguments, what was shown, a result (SHA-256)"""
    key: str | None = None
    """the idempotency key that the effect was sent with"""
    why: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """names, numbers, digests: nothing that a person wrote or a tool returned"""
    contents: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """what was written, shown, returned: input, arguments, result, prompt"""
    erased: bool = False
    """its payload was taken away, or cannot be read: what is left is that it happened"""
    taken_over: bool = False
    """it happened in the run that this one is a fork of, not here"""
    quiet: bool = False
    """of interest to a machine: readings of a clock, signs of life, money set aside"""

    @property
    def id(self) -> str:
        """Stable over exports and feeds, so that a receiver can drop what it has: tenant, run, entry."""
        return f"{self.ref.tenant}/{self.ref.id}/{self.seq}"

    def to_json(self, *, contents: bool = True) -> dict[str, Any]:
        """As an object; without `contents`, nothing that a person wrote or a tool returned."""
        told: dict[str, Any] = {
            "id": self.id,
            "at": iso(self.at),
            "what": self.what,
            "by": self.by,
            "on_behalf_of": self.behalf,
            "tenant": self.ref.tenant,
            "run": self.ref.id,
            "agent": self.agent,
            "version": self.version,
            "step": self.step or None,
            "tool": self.tool,
            "outcome": self.outcome,
            "digest": self.digest,
            "key": self.key,
            "took_us": self.took or None,
            "details": dict(self.details),
            "entry": self.seq,
            "hash": self.hash,
            "written_by": self.actor,
        }
        if self.generation > 1:
            told["generation"] = self.generation
        for name in ("erased", "taken_over"):
            if getattr(self, name):
                told[name] = True
        if contents:
            told["why"] = self.why
            told["contents"] = dict(self.contents)
        return told


@dataclass(slots=True, kw_only=True)
class Enquiry:
    """A question to a human: what exactly was shown, who was asked, who said what."""

    ref: RunRef
    step: str
    entry: int
    asked_at: int
    question: str
    shown: Any
    """exactly what the human was shown"""
    digest: str | None
    """what an answer is bound to, as recorded"""
    tool: str | None
    beside: Any = None
    """what was told beside it: precedents, notes"""
    people: list[str] | None = None
    """who was asked; None: nobody in particular"""
    due: int | None = None
    decision: str | None = None
    """`approved`, `denied`, `defaulted`, `withdrawn`, `answered`; None: open"""
    by: str | None = None
    decided_at: int | None = None
    reason: str | None = None
    edited: Any = None
    """the arguments that were put in place of those that were shown, with their digest"""
    answer: Any = None
    """what the human's message said, as it came, its signature included"""
    signed: Any = None
    """which key has signed the answer, as the run found it; False: it was to be signed, and is not; None: not asked"""
    refused: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """answers that did not count: by whom, when, why"""
    entries: list[int] = field(default_factory=list[int])
    erased: bool = False

    @property
    def digest_fits(self) -> bool | None:
        """Whether the recorded digest is that of what was shown; None: one of the two is not there."""
        if self.digest is None or self.shown is None or self.erased:
            return None
        if self.tool is None:
            return hashlib.sha256(pydantic_core.to_json(self.shown)).hexdigest() == self.digest
        canonical = json.dumps(self.shown, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest() == self.digest

    def to_json(self) -> dict[str, Any]:
        """As an object, with all that was shown."""
        return {
            "tenant": self.ref.tenant,
            "run": self.ref.id,
            "step": self.step,
            "tool": self.tool,
            "question": self.question,
            "asked_at": iso(self.asked_at),
            "asked": self.people,
            "due": iso(self.due),
            "shown": self.shown,
            "shown_beside": self.beside,
            "digest": self.digest,
            "digest_fits": self.digest_fits,
            "decision": self.decision or "open",
            "by": self.by,
            "decided_at": iso(self.decided_at),
            "reason": self.reason,
            "edited": self.edited,
            "answer": self.answer,
            "signed": self.signed,
            "refused": self.refused,
            "entries": self.entries,
            "erased": self.erased,
        }


@dataclass(slots=True, kw_only=True)
class Deed:
    """One call of a tool, over all its attempts: what was done, for whom, who let it, what came of it."""

    ref: RunRef
    agent: str
    version: str
    behalf: str | None
    step: str
    tool: str
    """its name; where that was erased, the name of its step"""
    began: int
    effect: str | None = None
    """`write`, `idempotent`, `read`; None: it changes something, and no question told which"""
    arguments: Any = None
    digest: str | None = None
    """of the arguments, as a token binds them: SHA-256 of canonical JSON, base64url"""
    key: str | None = None
    attempts: int = 0
    ended: int | None = None
    outcome: str = "under way"
    """`ok`, `failed`, `denied`, `refused`, `in doubt`, `waiting`, `under way`"""
    why: str | None = None
    settled_by: str | None = None
    """who found out whether it had happened, where nobody knew"""
    result: Any = None
    enquiries: list[Enquiry] = field(default_factory=list[Enquiry])
    entries: list[int] = field(default_factory=list[int])
    erased: bool = False

    @property
    def approved_by(self) -> list[str]:
        """Who has approved it, each once; empty: nobody was asked, or nobody has."""
        names = [e.by or "nobody in time" for e in self.enquiries if e.decision == "approved"]
        return list(dict.fromkeys(names))

    def to_json(self, *, contents: bool = True) -> dict[str, Any]:
        """As an object; without `contents`, no arguments, results, or what was shown."""
        told: dict[str, Any] = {
            "tool": self.tool,
            "agent": self.agent,
            "version": self.version,
            "on_behalf_of": self.behalf,
            "tenant": self.ref.tenant,
            "run": self.ref.id,
            "step": self.step,
            "effect": self.effect,
            "began_at": iso(self.began),
            "ended_at": iso(self.ended),
            "outcome": self.outcome,
            "attempts": self.attempts,
            "arguments_digest": self.digest,
            "key": self.key,
            "approved_by": self.approved_by,
            "settled_by": self.settled_by,
            "entries": self.entries,
            "erased": self.erased,
        }
        if contents:
            told |= {"arguments": self.arguments, "why": self.why, "result": self.result}
            told["questions"] = [e.to_json() for e in self.enquiries]
        return told
