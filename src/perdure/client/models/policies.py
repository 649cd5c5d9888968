"""Policies: what stands in them, and what they say of a call."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Asked, Json, Told

__all__ = ["Explain", "GateOut", "PolicyOut", "VerdictOut"]


class PolicyOut(Told):
    """One policy that holds."""

    id: str
    layer: str
    effect: str
    """`permit` or `forbid`"""
    role: str | None
    """whose approval opens it"""
    quorum: int | None
    reason: str
    place: str
    text: str
    """in Cedar"""


class Explain(Asked):
    """A call, as it could come."""

    agent: str = Field(min_length=1, max_length=200, examples=["desk"])
    tool: str = Field(min_length=1, max_length=200, examples=["refund"])
    arguments: dict[str, Json] = Field(default={}, max_length=200)
    user: str | None = Field(default=None, max_length=400)
    grants: list[str] = Field(default=[], max_length=200)
    approved: list[str] = Field(default=[], max_length=50)
    """roles that have approved"""
    called: list[str] = Field(default=[], max_length=200)
    """tools that the run has called"""
    seen: list[str] = Field(default=[], max_length=200)
    """labels of what the run has read"""
    untrusted: list[str] = Field(default=[], max_length=200)
    """arguments that an untrusted source alone names"""


class GateOut(Told):
    """Approvals that a call needs."""

    role: str
    quorum: int


class VerdictOut(Told):
    """What the policies say of a call."""

    decision: Literal["allow", "needs_approval", "deny"]
    why: str
    policies: list[str]
    """ids of those that decide"""
    gates: list[GateOut]
    errors: list[str]
    version: str
    """the digest of the policies"""
