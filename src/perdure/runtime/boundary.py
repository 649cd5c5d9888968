"""The boundary: what every model and tool call passes before its effect, whatever framework it comes from.

    scope ─► policy ─► budget ─► approval ─► credential ─► rate ─► breaker ─► intent ─► effect ─► result ─► settle

Each stage lets the call pass, makes it wait (a row, no worker), or refuses it with an error that says why. What a stage
did stands in the journal on the trail of the step, so that a replay, or the next worker, goes on behind it: nothing is
asked twice, and a replay asks none of them. A call for which nobody has set anything passes through none of this.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pydantic_core

from ..journal import Amendment, Change, Entry, WaitReason
from .call import Call, CallKind, Way
from .diagnosis import Classifier, Diagnosis
from .recorder import Wait
from .retry import Retry
from .terms import NO_TERMS, Terms

if TYPE_CHECKING:
    from .recorder import Recorder

__all__ = ["Admission", "Boundary", "Part", "Rules", "pause"]

Part = tuple[int, str, bytes, bytes]
"""An entry to be written: kind, key, payload, fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an app says about all calls of its runs."""

    classifier: Classifier = field(default_factory=Classifier)
    retry: Retry | None = None
    """of model turns and tools that say no other; None: what may be repeated has the default, writes have none"""
    model_terms: Callable[[str], Terms] | None = None
    """the terms of a model, by its name"""
    draw: Callable[[], float] = random.random
    """for the jitter of waits: from [0, 1)"""


@dataclass(slots=True)
class Admission:
    """Leave for one attempt: what is written before it, in one append, and how."""

    parts: list[Part] = field(default_factory=list[Part])
    closed: list[str] = field(default_factory=list[str])
    """approvals that it uses up"""
    amendments: list[Amendment] = field(default_factory=list[Amendment])
    durable: bool = False
    """whether that must be on disk before the effect"""
    reservation: Any = None

    def change(self) -> Change | None:
        """What else happens in the transaction of the append."""
        if not (self.closed or self.amendments):
            return None
        return Change(closed=tuple(self.closed), amendments=tuple(self.amendments))


_NOTHING = Admission()
_DEFAULT = Retry()


class Boundary:
    """The enforcement point of one segment of a run."""

    def __init__(self, recorder: Recorder, rules: Rules, *, agent: str, retry: Retry | None = None) -> None:
        self.recorder = recorder
        self.rules = rules
        self.agent = agent
        self._retry = retry or rules.retry
        self._quiet = True

    # before ----------------------------------------------------------------------------------------------------

    def short(self, kind: CallKind, terms: Terms) -> bool:
        """Whether a call with these terms has nothing to pass. The hot path of plain steps and reads."""
        if kind == "model" or (kind == "tool" and not self._quiet):
            return False
        return terms is NO_TERMS or not terms.guarded

    async def admit(self, call: Call, way: Way, trail: list[Entry]) -> Admission:
        """Pass the stages, in their order. Returns the leave; raises what refuses the call; parks where it must wait.

        `trail` is what the journal holds of the step; stages that have let it pass are not asked again.
        """
        if self._quiet and not way.terms.guarded:
            return _NOTHING
        admission = Admission()
        # scope, policy: issue 7 fills these places
        # budget: `spending`
        # approval: `consent`
        # credential: issue 6 fills this place
        # rate, breaker: `governance`
        return admission

    # after -----------------------------------------------------------------------------------------------------

    def diagnose(self, call: Call, way: Way, error: BaseException) -> Diagnosis:
        """What kind of failure an error is: as the tool says, then the app, then what is known of libraries."""
        rule = way.terms.classify or call.terms.classify
        classifier = self.rules.classifier if rule is None else self.rules.classifier.behind(rule)
        return classifier.diagnose(error)

    def policy(self, call: Call, way: Way) -> Retry:
        """How often a call is tried."""
        if way.terms.retry is not None:
            return way.terms.retry
        if call.kind == "step":
            return Retry.NEVER
        return self._retry or (Retry.NEVER if call.effect == "write" else _DEFAULT)

    def settled(self, call: Call, admission: Admission, value: Any) -> list[Part]:
        """What is written with the result, in the same append: what the call cost."""
        return []

    async def succeeded(self, way: Way) -> None:
        """An attempt went through."""

    async def failed(self, way: Way, diagnosis: Diagnosis) -> None:
        """An attempt failed: where that says something about the other side, its breaker counts it."""


async def pause(call: Call, reason: WaitReason, due: int | None) -> Entry | None:
    """Park the branch until `due`, or until a message for it comes: that message. Raises `RunCancelled`.

    What must outlive the worker stands in the journal already; this writes nothing.
    """
    recorder = call.recorder
    message = recorder.mail_for(reason, call.key)
    if message is None and (due is None or due > recorder.store.now()):
        future: asyncio.Future[Entry | None] = recorder.loop.create_future()
        message = await recorder.park(
            Wait(call.key, reason, call.key, due, future, shielded=call.scope.shielded)
        )
    if message is not None and pydantic_core.from_json(message.payload)["kind"] == "cancel":
        await recorder.cancelled(call.key, call.mark, message)
    await recorder.live(call.scope, call.key, call.mark)
    return message
