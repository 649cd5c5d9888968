"""The stage `policy` of the boundary: Cedar is asked whether this agent may make this call, for this user.

    facts of the run, the arguments, where they come from ─► verdict ─┬─ allow            on with the call
                                                                      ├─ needs_approval   the roles are asked
                                                                      └─ deny             VERDICT, `PolicyDenied`

A verdict is made with each attempt, by the version of the policies with which the run began, and stands in the journal
with the policies that decided. A replay makes none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.errors import ConfigError, PolicyDenied
from ...core.rings import Ring
from ...governance.policy import Decision, PolicyCall, ToolForm, Verdict, judge
from ...governance.policy.book import PolicyBook
from ...governance.policy.capabilities import Capability, capabilities
from ...governance.policy.heard import Heard
from ...governance.policy.provenance import Origin, traced, untrusted, unvouched
from ...governance.policy.remembering import RECALL
from ...governance.policy.schema import ANSWER
from ...governance.policy.shadow import Shadow
from ...governance.policy.stated import UNSTATED, Stated
from ...journal import Change, Entry, Kind
from ..approval.approvers import Approvers
from .call import Call
from .tool import Tool

if TYPE_CHECKING:
    from ..drafts import Draft
    from ..replay.recorder import Recorder
    from .stages import Admission

__all__ = ["STAGE", "Ask", "Guard"]

STAGE = "policy"
_CENT = 10_000_000  # nano-dollars


@dataclass(frozen=True, slots=True)
class Ask:
    """A role that a policy wants to be asked, and why."""

    role: str
    quorum: int
    why: str
    policies: Sequence[str]
    origins: Sequence[Mapping[str, Any]]
    to: Sequence[str] | None = None
    """people and groups who are asked; none: whoever may approve. None: those of the role"""

    def approvers(self) -> Approvers:
        """Whom the question goes to."""
        return Approvers(self.role) if self.to is None else Approvers(*([tuple(self.to)] if self.to else ()))

    def told(self) -> dict[str, Any]:
        """For the question."""
        told = {"role": self.role, "quorum": self.quorum, "why": self.why, "policies": list(self.policies)}
        return {**told, "origins": list(self.origins)}


class Guard:
    """The policies of one segment of a run."""

    def __init__(
        self, book: PolicyBook | str, digest: str, heard: Heard, *, agent: str, shadow: Shadow | None = None
    ) -> None:
        """`book`: the version by which the run is judged; or why it is not to be had, which refuses every call.

        `shadow`: a candidate that is asked beside it.
        """
        self.book = book
        self.shadow = shadow
        self.digest = digest
        self.heard = heard
        self.agent = agent
        self._constant: dict[str, bool] = {}

    def constantly_allowed(self, tool: Tool[..., Any]) -> bool:
        """Whether a call passes, whatever its arguments are: then nothing need be looked at."""
        found = self._constant.get(tool.name)
        if found is None:
            alone = self.shadow is None or tool.exempt or self.shadow.passes(self.agent, form_of(tool))
            found = self._constant[tool.name] = alone and self._always(tool)
        return found

    def constantly_denied(self, tool: Tool[..., Any]) -> bool:
        """Whether no call of it passes, whatever its arguments are."""
        if tool.exempt or isinstance(self.book, str):
            return False
        try:
            policies = self.book.for_call(self.agent, form_of(tool))
        except ConfigError:
            return False
        return next(c for c in capabilities(policies, self.agent) if c.tool == tool.name).may == "no"

    def wants_stated(self, tool: Tool[..., Any]) -> bool:
        """Whether a model has to state how sure it is of a call of that tool."""
        return not tool.exempt and self.asks_how_sure(tool.name, tool.effect)

    def judges_answers(self) -> bool:
        """Whether what a model answers at the end of a run is judged: where a policy names that."""
        return isinstance(self.book, PolicyBook) and self.book.policies.judges_answers(self.agent)

    def judges_recalls(self) -> bool:
        """Whether what it recalls is judged: where a policy names that, or nobody knows whether one does."""
        return isinstance(self.book, str) or self.book.policies.names(self.agent, RECALL)

    def recalled(self, call: Call, tool: Tool[..., Any]) -> Verdict:
        """Whether items of memory may be recalled, which `call` is about."""
        return self.verdict(self._call(call, tool.name, (), approvals=frozenset(), ring=Ring.NONE), tool)

    def asks_of_answers(self) -> bool:
        """Whether a model has to state how sure it is of its answer."""
        return self.judges_answers() and self.asks_how_sure(ANSWER, "read")

    def answered(self, recorder: Recorder, path: str, stated: Stated | None) -> None:
        """A model has answered in the scope of that path, and says so of its answer. That of a check is no answer."""
        if not any(path.startswith(inner) for inner, part in recorder.parts.items() if part == "check"):
            self.heard.answer = stated or UNSTATED

    def asks_how_sure(self, tool: str, effect: str) -> bool:
        """The same, by name and effect. Of policies that are not to be had nobody knows, and nothing is lost by it."""
        return isinstance(self.book, str) or self.book.policies.asks_how_sure(self.agent, tool, effect)

    def _always(self, tool: Tool[..., Any]) -> bool:
        if tool.exempt:
            return True
        if isinstance(self.book, str):
            return False
        try:
            policies = self.book.for_call(self.agent, form_of(tool))
        except ConfigError:
            return False  # which every call is then told
        if not policies.bench(self.agent, tool.name).constant:
            return False
        anything = PolicyCall(agent=self.agent, tool=tool.name, arguments={}, tenant="")
        return judge(policies, anything).decision == Decision.ALLOW

    def capabilities(self) -> Sequence[Capability]:
        """What the agent may do at all; nothing where its policies are not to be had."""
        if isinstance(self.book, str):
            return ()
        return capabilities(self.book.policies, self.agent)

    def judged(
        self,
        call: Call,
        tool: Tool[..., Any],
        trail: list[Entry],
        admission: Admission,
        *,
        ring: Ring = Ring.NONE,
    ) -> list[Ask]:
        """Who has to be asked. The verdict is written with the attempt, or at once with `PolicyDenied`."""
        if tool.effect == "read" and self.constantly_allowed(tool):
            return []  # the version of the policies, in CLAIMED, says so
        origins = self._origins(call)
        asked = self._call(call, tool.name, origins, approvals=frozenset(), ring=ring)
        verdict = self.verdict(asked, tool)
        told = self._told(verdict, tool, origins, asked)
        if self.shadow is not None:
            otherwise = self.shadow.beside(asked, form_of(tool), verdict)
            if otherwise is not None:
                told["shadow"] = otherwise
        payload = pydantic_core.to_json(told)
        if verdict.decision == Decision.ALLOW:
            admission.parts.append((int(Kind.VERDICT), call.key, payload, call.mark))
        elif all(
            entry.payload != payload for entry in trail
        ):  # said once, however often the run goes on from here
            call.recorder.write(Kind.VERDICT, call.key, payload, fingerprint=call.mark)
            trail.append(call.recorder.last)
        if verdict.decision == Decision.DENY:
            raise _denied(tool.name, verdict, asked.stated)
        draft = _draft(call)
        whence = told.get("origins", ()) if draft is None else draft.origins
        return [Ask(role, quorum, verdict.why, verdict.policies, whence) for role, quorum in verdict.gates]

    def again(
        self, call: Call, tool: Tool[..., Any], roles: frozenset[str], *, ring: Ring = Ring.NONE
    ) -> None:
        """With the approvals that were given, and the arguments that were approved. Raises `PolicyDenied`."""
        origins = self._origins(call, approved=True)
        asked = self._call(call, tool.name, origins, approvals=roles, ring=ring)
        verdict = self.verdict(asked, tool)
        if verdict.decision != Decision.ALLOW:
            told = self._told(verdict, tool, origins, asked)
            told |= {"verdict": str(Decision.DENY), "after": "approval"}
            call.recorder.write(
                Kind.VERDICT,
                call.key,
                pydantic_core.to_json(told),
                fingerprint=call.mark,
                change=Change(closed=(call.key,)),
            )
            raise _denied(tool.name, verdict, asked.stated)

    def verdict(self, asked: PolicyCall, tool: Tool[..., Any]) -> Verdict:
        """What the policies say. Whatever goes wrong in asking is a no."""
        if isinstance(self.book, str):
            return Verdict(decision=Decision.DENY, policies=(), why=self.book)
        try:
            return judge(self.book.for_call(self.agent, form_of(tool)), asked)
        except ConfigError as error:
            return Verdict(decision=Decision.DENY, policies=(), why=f"the policies cannot be asked: {error}")

    def _call(
        self, call: Call, tool: str, origins: Sequence[Origin], *, approvals: frozenset[str], ring: Ring
    ) -> PolicyCall:
        recorder = call.recorder
        now = recorder.store.now()
        at = datetime.fromtimestamp(now / 1e6, UTC)
        principal = recorder.on_behalf_of
        over = principal is None or (principal.grants_until is not None and now >= principal.grants_until)
        spending = recorder.boundary.spending
        spent = 0 if spending is None else spending.ledger.spent.money
        draft = _draft(call)
        return PolicyCall(
            agent=self.agent,
            tool=tool,
            arguments=pydantic_core.from_json(call.data),
            tenant=recorder.ref.tenant,
            task=recorder.task,
            user=recorder.principal,
            verified=principal is not None and principal.verified,
            grants=frozenset() if over or principal is None else principal.grants,
            approvals=approvals,
            called=self.heard.called(before=call.key),
            seen=frozenset(self.heard.seen),
            untrusted=untrusted(origins) if draft is None else frozenset(draft.untrusted),
            unvouched=unvouched(origins) if draft is None else frozenset(draft.unvouched),
            ring=str(ring),
            stated=self._stated(call, tool) if draft is None else draft.said(),
            spent=-(-spent // _CENT),
            hour=at.hour,
            weekday=at.isoweekday(),
        )

    def _stated(self, call: Call, tool: str) -> Stated | None:
        """How sure the model says that it is; None: nobody asks it, or the program itself calls."""
        if not call.by_model or not self.asks_how_sure(tool, call.effect):
            return None
        return self.heard.stated(call.key) or UNSTATED

    def _origins(self, call: Call, *, approved: bool = False) -> list[Origin]:
        """Where the arguments come from; of what the program itself calls, the program says."""
        if not call.by_model:
            return []
        return traced(pydantic_core.from_json(call.data), self.heard.sources_of(call.key, approved=approved))

    def provenance(self, call: Call, tool: str) -> dict[str, Any]:
        """Where the arguments of a call come from, as a draft of it keeps that."""
        origins = self._origins(call)
        stated = self._stated(call, tool)
        return {
            "stated": None if stated is None else stated.told(),
            "untrusted": sorted(untrusted(origins)),
            "unvouched": sorted(unvouched(origins)),
            "origins": _told_origins(origins),
        }

    def violated(self, denied_by: Sequence[str]) -> str | None:
        """The first of these policies that is marked `@violation`; None: it was no more than a denial."""
        if isinstance(self.book, str):
            return None
        marked = {p.id for ps in self.book.policies.all().values() for p in ps if p.violation}
        return next((id for id in denied_by if id in marked), None)

    def _told(
        self, verdict: Verdict, tool: Tool[..., Any], origins: Sequence[Origin], asked: PolicyCall
    ) -> dict[str, Any]:
        told: dict[str, Any] = {"stage": STAGE, "verdict": str(verdict.decision), "tool": tool.name}
        told |= {k: v for k, v in verdict.to_json().items() if k != "decision"}
        told["version"] = self.digest
        told["call"] = asked.to_json()
        if origins:
            told["origins"] = _told_origins(origins)
        return told


def _draft(call: Call) -> Draft | None:
    """The draft for which the run was started: what is known of its call is known from there."""
    rings = call.recorder.boundary.rings
    return None if rings is None else rings.draft


def _told_origins(origins: Sequence[Origin]) -> list[dict[str, Any]]:
    return [
        {
            "argument": o.argument,
            "from": list(o.sources),
            "trust": "vouched" if o.vouched else "trusted" if o.trusted and o.sources else
            "untrusted" if o.sources else "unknown",
            **({"derived": True} if o.derived else {}),
        }
        for o in origins
    ]  # fmt: skip


def form_of(tool: Tool[..., Any]) -> ToolForm:
    """A tool as policies see it."""
    if tool.policy_form is None:
        terms = tool.terms
        tool.policy_form = ToolForm(
            name=tool.name,
            effect=tool.effect,
            arguments=tool.schema(),
            labels=terms.labels,
            clearance=terms.clearance,
            zone=terms.zone,
        )
    return tool.policy_form


def _denied(tool: str, verdict: Verdict, stated: Stated | None) -> PolicyDenied:
    error = PolicyDenied(f"`{tool}` was not called: {verdict.why}")
    if verdict.evidence:
        more = "" if stated is None else f" ({stated.in_words()})"
        error = PolicyDenied(
            f"`{tool}` was not called yet: {verdict.why}{more}. Find out what is missing, then call it again with what "
            "you know by then; or say what you could not find out"
        )
    error.policies = tuple(verdict.policies)
    return error
