"""What is asked of the open approvals, as both SQL stores bind it."""

from __future__ import annotations

from typing import Any

from ..core.ids import RunRef
from ..journal import ApprovalPlace, Overdue

__all__ = ["asked"]


def asked(
    *,
    tenant: str | None,
    ref: RunRef | None = None,
    overdue: Overdue | None = None,
    after: ApprovalPlace | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """By the names of the query's parameters."""
    place = after or (None, None, None, None)
    names = ("at", "after_tenant", "after_run", "after_step")
    return {
        "tenant": tenant if ref is None else ref.tenant,
        "id": None if ref is None else ref.id,
        "now": None if overdue is None else overdue.now,
        "since": None if overdue is None else overdue.since,
        "limit": -1 if limit is None else limit,
        **dict(zip(names, place, strict=True)),
    }
