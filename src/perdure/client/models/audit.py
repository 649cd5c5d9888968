"""The audit log: how it stands, its checkpoints, and what was done."""

from __future__ import annotations

from datetime import datetime

from .base import Json, Told

__all__ = ["AuditStatus", "CheckpointOut", "FactOut", "FactsPage"]


class CheckpointOut(Told):
    """A signed checkpoint (C2SP tlog-checkpoint)."""

    size: int
    """leaves of the tree: heads of runs"""
    at: datetime
    note: str
    """with its signatures, to be kept elsewhere"""


class AuditStatus(Told):
    """How the audit log stands."""

    size: int
    behind: int
    """runs whose head is not in it yet"""
    behind_seconds: float
    checkpoint: CheckpointOut | None


class FactOut(Told):
    """One fact of a journal, in words that need no knowledge of Perdure's code."""

    id: str
    """stable: whoever gets a fact twice drops one"""
    at: datetime
    what: str
    """`tool.called`, `approval.approved`, `run.ended`, ..."""
    by: str | None
    on_behalf_of: str | None
    run: str
    agent: str
    version: str
    step: str | None
    tool: str | None
    outcome: str | None
    digest: str | None
    entry: int
    hash: str
    details: dict[str, Json]
    why: str | None = None
    contents: dict[str, Json] | None = None
    """what was written, shown, returned, where it was asked for"""


class FactsPage(Told):
    """A piece of the feed of facts."""

    items: list[FactOut]
    cursor: str
    """what to give as `after` for what follows, now or later"""
    more: bool
    """there is more already"""
