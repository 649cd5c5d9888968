"""The list of runs, each with its figures: for the dashboard's first page, the API and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..core.ids import RunRef
from ..journal import RunQuery, RunStatus, Store
from ..telemetry import RunFigures

__all__ = ["RunRow", "RunsPage", "RunsQuery", "runs_page"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsQuery:
    """Which runs to list, the newest first. Times are microseconds, money is nano-dollars."""

    tenant: str | None
    """None: of every tenant, for an operator of the whole installation"""
    statuses: frozenset[RunStatus] = frozenset()
    reason: str | None = None
    agent: str | None = None
    version: str | None = None
    principal: str | None = None
    parent: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    since: int | None = None
    """accepted then or later"""
    until: int | None = None
    """accepted before"""
    cost_above: int | None = None
    text: str | None = None
    """a part of the goal, whatever its case"""
    limit: int = 50
    before: RunRef | None = None
    """the `next` of the page before"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run of the list. Times are microseconds."""

    ref: RunRef
    agent: str
    version: str
    status: RunStatus
    reasons: tuple[str, ...]
    labels: Mapping[str, str]
    parent: str | None
    principal: str | None
    subject: str | None
    started_at: int
    updated_at: int
    ended_at: int | None
    next_wake: int | None
    deadline: int | None
    progress: str | None
    """the last progress, as JSON, with its time"""
    figures: RunFigures | None
    """None: not counted yet, which takes about a second"""
    current: bool = True
    """the figures hold all that its journal says"""

    def wall(self, now: int) -> int:
        """Microseconds from its start to its end, or until now."""
        return max(0, (now if self.ended_at is None else self.ended_at) - self.started_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsPage:
    """One page of the list."""

    rows: tuple[RunRow, ...]
    next: RunRef | None = None
    """where the next page begins, for `before`; None: there is no more"""
    cut_short: bool = False
    """so many runs were looked at that did not match that the page ends here: there may be more behind `next`"""


async def runs_page(store: Store, query: RunsQuery) -> RunsPage:
    """One page of runs, the newest first."""
    before = None if query.before is None else await store.get(query.before)
    found = await store.find(
        RunQuery(
            tenant=query.tenant,
            statuses=query.statuses,
            reason=query.reason,
            agent=query.agent,
            version=query.version,
            principal=query.principal,
            parent=query.parent,
            labels=query.labels,
            since=query.since,
            until=query.until,
            limit=query.limit + 1,
            before=None if before is None else before.rid,
        )
    )
    rows = tuple(
        RunRow(
            ref=r.ref,
            agent=r.agent,
            version=r.version,
            status=r.status,
            reasons=r.reasons,
            labels=r.labels,
            parent=r.parent,
            principal=r.principal,
            subject=r.subject,
            started_at=r.created_at,
            updated_at=r.updated_at,
            ended_at=r.ended_at,
            next_wake=r.next_wake,
            deadline=r.deadline,
            progress=r.progress,
            figures=None,
        )
        for r in found[: query.limit]
    )
    more = len(found) > query.limit
    return RunsPage(rows=rows, next=rows[-1].ref if more else None)
