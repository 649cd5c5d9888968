"""May this agent make this call, for this user, with these arguments? Yes, no, or: ask a human.

Asked with the approvals that are there. Where the answer is no, and only because of policies behind a gate, it is asked
again as if everybody had approved: if it is yes then, those whose gates stood in the way are asked. Whatever goes wrong
in between is a no: a missing attribute, a number too large, a policy that fails.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

import pydantic_core

from .policies import ABOVE, Bench, Policies, Policy
from .shapes import Unfit, cedar_value
from .stated import CERTAIN, Stated

__all__ = ["Decision", "PolicyCall", "Verdict", "decided", "judge"]


class Decision(StrEnum):
    """What the policies say of a call."""

    ALLOW = "allow"
    NEEDS_APPROVAL = "needs_approval"
    DENY = "deny"


Gate: TypeAlias = tuple[str, int]
"""A role, and how many people of it have to approve."""


_SETS = ("grants", "approvals", "called", "seen", "untrusted", "unvouched")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCall:
    """A call, as policies see it. See `schema.CONTEXT` for what the fields are."""

    agent: str
    tool: str
    arguments: Mapping[str, Any]
    tenant: str
    task: str | None = None
    user: str | None = None
    verified: bool = False
    grants: frozenset[str] = frozenset()
    approvals: frozenset[str] = frozenset()
    called: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()
    untrusted: frozenset[str] = frozenset()
    unvouched: frozenset[str] = frozenset()
    stated: Stated | None = None
    """how sure the model says that it is; None: nobody asked it, as the program itself calls, and is certain"""
    spent: int = 0
    hour: int = 0
    weekday: int = 1
    ring: str = "none"

    def to_json(self) -> dict[str, Any]:
        """For the journal, so that other policies can be asked about the same call: what says something."""
        told: dict[str, Any] = {"agent": self.agent, "arguments": self.arguments, "tenant": self.tenant}
        told |= {"hour": self.hour, "weekday": self.weekday}
        if self.task is not None:
            told["task"] = self.task
        if self.user is not None:
            told["user"] = self.user
        if self.verified:
            told["verified"] = True
        if self.spent:
            told["spent"] = self.spent
        if self.ring != "none":
            told["ring"] = self.ring
        if self.stated is not None:
            told["stated"] = self.stated.told()
        told |= {name: sorted(words) for name in _SETS if (words := getattr(self, name))}
        return told

    @classmethod
    def recorded(cls, tool: str, told: Mapping[str, Any]) -> PolicyCall:
        """From the journal."""
        known: dict[str, Any] = {**told, **{name: frozenset(told.get(name, ())) for name in _SETS}}
        if "stated" in told:
            known["stated"] = Stated.recorded(told["stated"])
        return cls(tool=tool, **known)

    def context(self, arguments: Any) -> dict[str, Any]:
        """Beside what the approvals are: they change with the question."""
        stated = self.stated or CERTAIN
        user: dict[str, Any] = {"verified": self.verified, "grants": sorted(self.grants)}
        if self.user is not None:
            user["name"] = self.user
        told: dict[str, Any] = {
            "args": arguments,
            "user": user,
            "tenant": self.tenant,
            "called": sorted(self.called),
            "seen": sorted(self.seen),
            "untrusted": sorted(self.untrusted),
            "unvouched": sorted(self.unvouched),
            "confidence": {"__extn": {"fn": "decimal", "arg": f"{stated.confidence:.4f}"}},
            "unknowns": sorted(set(stated.unknowns)),
            "spent": self.spent,
            "hour": self.hour,
            "weekday": self.weekday,
            "ring": self.ring,
        }
        if self.task is not None:
            told["task"] = self.task
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the policies say, by which of them, and in words."""

    decision: Decision
    policies: Sequence[str]
    """ids of those that decided"""
    gates: Sequence[Gate] = ()
    """who has to approve, where that helps"""
    why: str = ""
    """a sentence for the human and for the model"""
    errors: Sequence[str] = field(default=())
    """what went wrong while asking"""
    evidence: bool = False
    """of a no: it may be a yes once the agent knows more"""

    def to_json(self) -> dict[str, Any]:
        """For the journal."""
        told: dict[str, Any] = {"decision": str(self.decision), "policies": list(self.policies)}
        if self.gates:
            told["gates"] = [{"role": role, "quorum": quorum} for role, quorum in self.gates]
        if self.why:
            told["why"] = self.why
        if self.errors:
            told["errors"] = list(self.errors)
        if self.evidence:
            told["evidence"] = True
        return told


def judge(policies: Policies, call: PolicyCall) -> Verdict:
    """The verdict on one call."""
    place = call.agent, call.tool
    known = policies.constants.get(place)
    if known is not None:
        return known
    form = policies.schema.arguments.get(call.tool)
    if form is None:
        return _deny(f"no policy knows a tool `{call.tool}`")
    bench = policies.bench(*place)
    try:
        context = call.context({} if bench.constant else cedar_value(form, call.arguments))
    except (Unfit, ValueError) as error:
        return _deny(f"the policies cannot be asked: {error}")
    schema = None if bench.constant else policies.compiled_schema
    answers = _asked(bench, _request(call, context, call.approvals), policies.entities, schema)
    verdict = _settled(answers)
    if verdict is None:
        roles = [p.role for layer in bench.layers for p in layer.policies.values() if p.role is not None]
        verdict = _gated(answers, _asked(bench, _request(call, context, roles), policies.entities, schema))
    if bench.constant:
        policies.constants[place] = verdict
    return verdict


_Answer: TypeAlias = tuple[str, bool, list[Policy], list[str]]
"""A layer, whether it allows, by which policies, and what failed."""


def decided(bench: Bench, request: dict[str, Any], entities: Any, schema: Any) -> Verdict | None:
    """What a bench says of one request in Cedar's own form; None where only approvals could let it pass.

    Under `judge`, without what it knows of agents and tools: so that Cedar's own tests can be held to it.
    """
    return _settled(_asked(bench, request, entities, schema))


def _asked(bench: Bench, request: dict[str, Any], entities: Any, schema: Any) -> list[_Answer]:
    cedar: Any = importlib.import_module("cedarpy")
    found: list[_Answer] = []
    for layer in bench.layers:
        answer = cedar.is_authorized(request, layer.compiled, entities, schema)
        told = answer.diagnostics
        by = [layer.policies[id] for id in told.reasons if id in layer.policies]
        errors = [str(error) for error in told.errors]
        if answer.decision == cedar.Decision.NoDecision and not errors:
            errors = ["no decision"]
        found.append((layer.name, bool(answer.allowed), by, errors))
    return found


def _request(call: PolicyCall, context: dict[str, Any], approvals: Iterable[str]) -> dict[str, Any]:
    return {
        "principal": {"type": "Agent", "id": call.agent},
        "action": {"type": "Action", "id": call.tool},
        "resource": {"type": "Tool", "id": call.tool},
        "context": pydantic_core.to_json({**context, "approvals": sorted(approvals)}).decode(),
    }


def _settled(answers: list[_Answer]) -> Verdict | None:
    """The verdict, where nobody need be asked; None where a gate stands in the way."""
    errors = [error for _, _, _, failed in answers for error in failed]
    if errors:  # Cedar leaves a policy out that fails, and what it would have forbidden goes through
        return Verdict(
            decision=Decision.DENY, policies=(), why="a policy could not be evaluated", errors=errors
        )
    against = [(layer, by) for layer, allowed, by, _ in answers if not allowed]
    if not against:
        ids = [policy.id for _, _, by, _ in answers for policy in by if policy.id != ABOVE]
        return Verdict(decision=Decision.ALLOW, policies=ids)
    first: list[Policy] = []
    for layer, by in against:
        final = [policy for policy in by if not policy.gated and not policy.evidence]
        if final:
            return Verdict(decision=Decision.DENY, policies=[p.id for p in final], why=_why(final))
        if not by:
            return _deny(f"nothing in the policies ({layer}) permits it")
        first += [policy for policy in by if policy.evidence]
    if first:  # before anybody is asked: what the agent can find out by itself is no matter for people
        return Verdict(decision=Decision.DENY, policies=[p.id for p in first], why=_why(first), evidence=True)
    return None


def _gated(before: list[_Answer], after: list[_Answer]) -> Verdict:
    """The verdict where gates stand in the way: whether approvals would help."""
    errors = [error for _, _, _, failed in after for error in failed]
    gates = [p for _, allowed, by, _ in before if not allowed for p in by]
    against = [p for _, allowed, by, _ in after if not allowed for p in by]
    if errors or against or not all(allowed for _, allowed, _, _ in after):
        return Verdict(
            decision=Decision.DENY,
            policies=[p.id for p in against or gates],
            why=_why(against) or "no approval would let it pass",
            errors=errors,
        )
    most: dict[str, int] = {}
    for policy in gates:
        if policy.role is not None:
            most[policy.role] = max(most.get(policy.role, 1), policy.quorum)
    return Verdict(
        decision=Decision.NEEDS_APPROVAL,
        policies=[p.id for p in gates],
        gates=sorted(most.items()),
        why=_why(gates),
    )


def _why(policies: Iterable[Policy]) -> str:
    return "; ".join(dict.fromkeys(p.reason or f"policy `{p.id}` says so" for p in policies))


def _deny(why: str) -> Verdict:
    return Verdict(decision=Decision.DENY, policies=(), why=why)
