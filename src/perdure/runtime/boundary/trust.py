"""The trust rings at the boundary: how far a call of this agent goes by itself. Part of the stage `policy`.

    look at the store ─► ring ─┬─ observe              VERDICT observed, `NotCarriedOut`
                               ├─ draft                VERDICT drafted, a run that waits for a person, `NotCarriedOut`
                               ├─ act_after_approval   VERDICT; a person is asked, whatever policies allow
                               └─ act_and_verify       VERDICT with the INTENT; the tool's `check` looks afterwards

The look begins when the call does, so a ring that was narrowed anywhere holds for the next call everywhere. What was
found stands in the journal: a replay looks at nothing, and a call that was begun in a ring goes on in no wider one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.errors import NotCarriedOut, PolicyDenied, StoreError
from ...core.rings import Ring
from ...governance.trust import Trust
from ...governance.trust.outcomes import goal_missed, last_word
from ...journal import Change, Entry, Kind
from ..approval.enquiry import STAGE as APPROVAL
from ..approval.enquiry import Enquiry
from ..drafts import Draft, draft_of, keep_draft
from ..replay.control import Unwind
from .call import Call
from .policy import Ask
from .tool import Tool

if TYPE_CHECKING:
    from ..agent import Agent
    from ..replay.recorder import Recorder
    from .stages import Admission

__all__ = ["GATE", "STAGE", "Held", "Rings", "verified"]

STAGE = "trust"
GATE = "trust ring"
"""In place of a role, where a ring asks and no policy does."""


@dataclass(frozen=True, slots=True)
class Held:
    """How far one call goes."""

    ring: Ring
    why: str

    @property
    def asks(self) -> bool:
        """Whether a person has to approve it."""
        return self.ring is Ring.ACT_AFTER_APPROVAL

    @property
    def stops(self) -> bool:
        """Whether it is not carried out."""
        return self.ring in (Ring.OBSERVE, Ring.DRAFT)


class Rings:
    """The rings of one segment of a run."""

    def __init__(self, trust: Trust, agent: Agent, started: Mapping[str, Any]) -> None:
        """`started`: what the run was started with."""
        self._trust = trust
        self._agent = agent
        self.draft = draft_of(started)
        """the call for which this run was started; None: it is no draft's"""
        self.known: Mapping[str, Ring] = {}
        """the rings of the agent's tools, as they were when the segment began: what it is told of itself"""

    async def look(self, recorder: Recorder) -> None:
        """See how the agent stands with all its tools, for it to plan by. No call is let pass by that.

        Raises `StoreError`. Without policies it is told nothing, and nothing is looked at.
        """
        if recorder.boundary.guard is None:
            return
        tools: dict[str, Tool[..., Any]] = {n: t for n, t in self._agent.tools.items() if t.effect != "read"}
        starts = {name: self._start(name) for name in tools}
        found = await self._trust.rings(recorder.ref.tenant, self._agent.name, starts)
        self.known = {name: verified(ring, tools[name]) for name, ring in found.items()}

    async def held(self, call: Call, tool: Tool[..., Any], trail: Sequence[Entry]) -> Held | None:
        """In which ring the call is; None: it changes nothing, so it is in none."""
        if tool.effect == "read" or tool.exempt or tool.undoes:
            return None
        ring, why = await self._look(call, tool)
        for entry in trail:  # begun in a ring it goes on in no wider one: who was asked is not asked in vain
            if entry.kind == Kind.VERDICT:
                told: dict[str, Any] = pydantic_core.from_json(entry.payload)
                if told.get("stage") == STAGE and told.get("tool") == tool.name:
                    ring = ring.narrowed_to(Ring(told["ring"]))
        if self.draft is not None and ring is not Ring.OBSERVE:  # what was drafted before that falls with it
            return Held(Ring.ACT_AFTER_APPROVAL, self.draft.released)
        if verified(ring, tool) is not ring:
            why = f"its trust ring is `{ring}`, and `{tool.name}` has no `check` by which it would verify what it did"
            return Held(Ring.ACT_AFTER_APPROVAL, why)
        return Held(ring, why)

    async def _look(self, call: Call, tool: Tool[..., Any]) -> tuple[Ring, str]:
        recorder = call.recorder
        start, tenant = self._start(tool.name), recorder.ref.tenant
        try:
            found = await self._trust.ring(tenant, self._agent.name, tool.name, start=start)
        except StoreError as error:
            recorder.fail(error)
            raise Unwind from error
        why = f"the trust ring of `{self._agent.name}` for `{tool.name}` is `{found.ring}`"
        if found.problem:
            why += f", because its records do not hold: {found.problem}"
        elif (last := found.capped or found.last) is not None and last.proof is None:
            why += f", narrowed by {last.by}" + (f": {last.reason}" if last.reason else "")
        return found.ring, why

    async def let_pass(
        self, call: Call, tool: Tool[..., Any], held: Held, trail: list[Entry], admission: Admission
    ) -> None:
        """Return where the call may go on. Raises `NotCarriedOut`."""
        if held.stops:
            await self._stop(call, tool, held, trail)
        verdict = "needs_approval" if held.asks else "allow"
        payload = _told(verdict, tool, held)
        if not held.asks:
            admission.parts.append((int(Kind.VERDICT), call.key, payload, call.mark))
        elif all(entry.payload != payload for entry in trail):  # now: the question may stand open for days
            call.recorder.write(Kind.VERDICT, call.key, payload, fingerprint=call.mark)
            trail.append(call.recorder.last)

    async def still(self, call: Call, tool: Tool[..., Any], held: Held, trail: list[Entry]) -> None:
        """The same once more, as somebody was asked and took their time. Raises `NotCarriedOut`."""
        now = await self.held(call, tool, trail)
        if now is not None and held.ring.wider_than(now.ring) and now.stops:
            await self._stop(call, tool, now, trail)

    async def _stop(self, call: Call, tool: Tool[..., Any], held: Held, trail: list[Entry]) -> None:
        recorder = call.recorder
        drafted = held.ring is Ring.DRAFT
        draft: Draft | None = None
        if drafted and tool.name in self._agent.tools:
            guard = recorder.boundary.guard
            provenance = {} if guard is None else guard.provenance(call, tool.name)
            draft = Draft(tool=tool.name, run=recorder.ref.id, step=call.key, why=held.why, **provenance)
        told: dict[str, Any] = {"arguments": pydantic_core.from_json(call.data)}
        if draft is not None:
            told["draft"] = draft.id(recorder)
        payload = _told("drafted" if drafted else "observed", tool, held, **told)
        if all(entry.payload != payload for entry in trail):
            change = Change(closed=(call.key,))  # a question that stood open before the ring was narrowed
            recorder.write(Kind.VERDICT, call.key, payload, fingerprint=call.mark, change=change)
            trail.append(recorder.last)
        if draft is not None:
            await keep_draft(call, self._agent, draft)
        raise _not_carried_out(tool.name, held, draft, told.get("draft"))

    def ask(self, held: Held) -> Ask:
        """Who is asked for it."""
        draft = self.draft
        origins = () if draft is None else draft.origins
        return Ask(GATE, 1, held.why, (), origins, to=self._trust.settings.approvers)

    def must_ask(
        self, held: Held | None, tool: Tool[..., Any], trail: Sequence[Entry], admission: Admission
    ) -> bool:
        """Whether the ring itself has to ask: no person has approved the call for another reason."""
        if held is None or not held.asks:
            return False
        if Enquiry.of(trail, tool.name, GATE).policy is not None:
            return True
        said = [part[2] for part in admission.parts if part[0] == Kind.VERDICT]
        said += [entry.payload for entry in trail if entry.kind == Kind.VERDICT]
        return not any(_by_a_person(pydantic_core.from_json(payload), tool.name) for payload in said)

    # narrowing -------------------------------------------------------------------------------------------------

    async def violated(self, call: Call, tool: Tool[..., Any], denied: PolicyDenied) -> None:
        """A policy that is marked `@violation` denied the call."""
        guard = call.recorder.boundary.guard
        if guard is None or (policy := guard.violated(denied.policies)) is None:
            return
        await self.narrow(call, tool.name, "violation", f"policy `{policy}` denied a call")

    async def narrow(self, call: Call, action: str, on: Any, reason: str) -> None:
        """Narrow the ring of an action by one, once for this step, where the settings have it so."""
        if on not in self._trust.settings.narrow_on:
            return
        recorder = call.recorder
        try:
            await self._trust.narrow(
                recorder.ref.tenant,
                self._agent.name,
                action,
                reason=f"{reason} (run {recorder.ref.id}, step {call.key})",
                by=f"run {recorder.ref.id}",
                start=self._start(action),
                cause=f"{recorder.name}/{call.key}",
            )
        except StoreError as error:
            recorder.fail(error)
            raise Unwind from error

    async def at_end(self, recorder: Recorder, rid: int, check: Mapping[str, Any] | None) -> None:
        """The run is about to end: it has missed its goal where its check, or its last word, says so.

        Before the end is written: whoever takes the run over does it again, and it is done once.
        """
        if check is not None and not check.get("passed"):
            reason = "the check of its run did not pass"
        elif await last_word(self._trust, rid) is False:
            reason = "its goal was not met"
        else:
            return
        await goal_missed(
            self._trust,
            recorder.ref,
            rid,
            self._agent.name,
            start=self._start,
            reason=reason,
            by=f"run {recorder.ref.id}",
        )

    def _start(self, action: str) -> Ring:
        said = self._agent.starts_in(action)
        return self._trust.settings.ring if said is None else said


def verified(ring: Ring, tool: Tool[..., Any]) -> Ring:
    """The ring by which a tool is called: who is to verify what they did, and has nothing to do it by, asks before."""
    unverified = ring is Ring.ACT_AND_VERIFY and tool.terms.check is None
    return Ring.ACT_AFTER_APPROVAL if unverified else ring


def _told(verdict: str, tool: Tool[..., Any], held: Held, **more: Any) -> bytes:
    told = {"stage": STAGE, "verdict": verdict, "tool": tool.name, "ring": str(held.ring), "why": held.why}
    return pydantic_core.to_json({**told, **more})


def _by_a_person(told: Mapping[str, Any], tool: str) -> bool:
    approved = (told.get("stage"), told.get("verdict"), told.get("tool")) == (APPROVAL, "approved", tool)
    return approved and told.get("by") is not None


def _not_carried_out(tool: str, held: Held, draft: Draft | None, name: str | None) -> NotCarriedOut:
    if held.ring is Ring.OBSERVE:
        kept = "What would have been done is recorded"
    elif draft is not None:
        kept = f"It is kept as the draft `{name}`, which a person may release"
    else:
        kept = "It is recorded as a draft, for a person to carry out by hand"
    error = NotCarriedOut(
        f"`{tool}` was not carried out: {held.why}. {kept}. Go on without it, and do not say that it was done"
    )
    error.ring, error.draft = str(held.ring), name
    return error
