"""Agents and tools as they are registered, and the workers that have them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from .base import Json, Moment, Told

__all__ = [
    "AgentOut",
    "CapabilityOut",
    "ConditionOut",
    "ReviewedToolOut",
    "ToolOut",
    "WaitingOut",
    "WorkerOut",
]


class AgentOut(Told):
    """A version of an agent."""

    agent: str = Field(examples=["desk"])
    version: str = Field(examples=["1"])
    newest: bool
    """runs that are started now get it"""
    takes: dict[str, Json] | None
    """the JSON schema of its input; null: it takes none"""
    returns: dict[str, Json]
    """the JSON schema of its result"""
    tasks: list[str]
    """what it is there for; empty: whatever fits its input"""
    zones: list[str] | None
    needs: list[str]
    requires: list[str]
    """grants of the user for whom it is to run"""
    priority: int
    limit: int | None
    limit_per_tenant: int | None
    behaviour: str
    """the digest of what decides its behaviour: code, prompts, models, tools, prices"""


class ToolOut(Told):
    """A registered tool."""

    tool: str
    effect: Literal["read", "idempotent", "write"]
    declared: bool
    """false: nobody has said so, and a write is assumed"""
    verify: bool
    compensate: bool
    zone: str
    labels: list[str]
    clearance: list[str]


class ReviewedToolOut(Told):
    """A tool of somebody else's, as a person has let it pass."""

    kind: str
    """of its source: `mcp`, `openapi`"""
    source: str
    tool: str
    """as its source has it"""
    offered: str
    """what models and policies know it by"""
    effect: Literal["read", "idempotent", "write"]
    description: str | None
    digest: str
    """SHA-256 of all of it"""
    by: str
    at: Moment


class ConditionOut(Told):
    """A policy on which a call depends."""

    policy: str
    reason: str
    role: str | None = None
    """who may let such a call pass; null: nobody"""


class CapabilityOut(Told):
    """A tool, and whether an agent may call it."""

    tool: str
    effect: str
    may: Literal["yes", "no", "depends"]
    conditions: tuple[ConditionOut, ...] = ()
    ring: str = "none"
    """how far the agent goes with it by itself, where policies let it; `none`: policies alone decide"""


class WorkerOut(Told):
    """A worker that is there."""

    session: str
    label: str
    agents: list[tuple[str, str]]
    labels: list[str]
    concurrency: int
    since: datetime
    expires: datetime
    """when its lease ends, unless it is renewed"""
    runs: int


class WaitingOut(Told):
    """Runs of one kind that are due and wait for a worker."""

    agent: str
    version: str
    needs: list[str]
    runs: int | None
    since: datetime | None
    unserved: str | None
    """why no worker will come: `no_worker_for_version`, `no_worker_for_needs`; null: one will"""
