"""What an agent may do at all: asked before it plans, and not call by call.

Where the policies look at nothing of a call, the answer is final; else it depends, and on what is told in the policies'
own words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ...core.rings import Ring
from .policies import Policies, Policy
from .reach import looks_at_the_call
from .remembering import RECALL
from .schema import ANSWER
from .verdict import Decision, PolicyCall, judge

__all__ = ["Capability", "Condition", "capabilities", "in_rings"]


class Condition(BaseModel):
    """One policy on which it depends."""

    model_config = ConfigDict(frozen=True)

    policy: str
    reason: str
    role: str | None = None
    """who may let such a call pass; None: nobody"""


class Capability(BaseModel):
    """A tool, and whether the agent may call it."""

    model_config = ConfigDict(frozen=True)

    tool: str
    effect: str
    may: Literal["yes", "no", "depends"]
    conditions: tuple[Condition, ...] = ()
    """under which it may not, or has to ask"""
    ring: Ring = Ring.NONE
    """how far the agent goes with it by itself, where policies let it; reads have none"""


def capabilities(policies: Policies, agent: str) -> Sequence[Capability]:
    """Of all tools that the policies know. Asked once for each agent."""
    found = policies.capabilities.get(agent)
    if found is None:
        found = policies.capabilities[agent] = tuple(
            _capability(policies, agent, name)
            for name in sorted(policies.schema.tools)
            if name not in (ANSWER, RECALL)
        )
    return found


def in_rings(told: Sequence[Capability], rings: Mapping[str, Ring]) -> Sequence[Capability]:
    """The same, each with the trust ring of its tool. Rings change from one moment to the next; policies do not."""
    return [
        c.model_copy(update={"ring": rings[c.tool]}) if c.tool in rings and c.effect != "read" else c
        for c in told
    ]


def _capability(policies: Policies, agent: str, tool: str) -> Capability:
    effect = policies.schema.tools[tool].effect
    bench = policies.bench(agent, tool)
    concerned = [policy for layer in bench.layers for policy in layer.policies.values()]
    forbids = tuple(_condition(policy) for policy in concerned if policy.effect == "forbid")
    if bench.constant:
        verdict = judge(policies, PolicyCall(agent=agent, tool=tool, arguments={}, tenant=""))
        if verdict.decision == Decision.NEEDS_APPROVAL:
            return Capability(tool=tool, effect=effect, may="depends", conditions=forbids)
        allowed = verdict.decision == Decision.ALLOW
        return Capability(
            tool=tool, effect=effect, may="yes" if allowed else "no", conditions=() if allowed else forbids
        )
    never = [
        p for p in concerned if p.effect == "forbid" and not p.gated and not looks_at_the_call(p.template)
    ]
    unpermitted = any(
        not any(policy.effect == "permit" for policy in layer.policies.values()) for layer in bench.layers
    )
    if unpermitted or any(not p.template.clauses for p in never):
        return Capability(tool=tool, effect=effect, may="no", conditions=tuple(_condition(p) for p in never))
    return Capability(tool=tool, effect=effect, may="depends", conditions=forbids)


def _condition(policy: Policy) -> Condition:
    return Condition(policy=policy.id, reason=policy.reason, role=policy.role)
