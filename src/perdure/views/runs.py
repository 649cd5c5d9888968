"""The list of runs, each with its figures: for the dashboard's first page, the API and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..core.ids import RunRef
from ..journal import FiguresRow, RunQuery, RunRecord, RunStatus, Store
from ..telemetry import RunFigures

__all__ = ["RunRow", "RunsPage", "RunsQuery", "row_of", "run_row", "runs_page"]


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
    """a part of the goal or of the run's id, whatever its case"""
    own: bool = False
    """with the runs that Perdure writes for itself; those that `agent` names are listed in any case"""
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
    """One page of runs, the newest first. A `before` that names no run begins at the newest."""
    before = None if query.before is None else await store.get(query.before)
    found = await store.figured(
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
            own=query.own,
            limit=query.limit,
            before=None if before is None else before.rid,
        ),
        money_above=query.cost_above,
        goal_has=query.text or None,
    )
    rows = tuple(row_of(run, figures) for run, figures in found.rows)
    return RunsPage(rows=rows, next=found.last, cut_short=found.last is not None and len(rows) < query.limit)


async def run_row(store: Store, ref: RunRef) -> RunRow | None:
    """One run with its figures, as the list has it; None: there is no such run."""
    run = await store.get(ref)
    return None if run is None else row_of(run, (await store.figures([run.rid])).get(run.rid))


def row_of(run: RunRecord, figures: FiguresRow | None) -> RunRow:
    """A run of the list, of its record and of what is kept of it."""
    return RunRow(
        ref=run.ref,
        agent=run.agent,
        version=run.version,
        status=run.status,
        reasons=run.reasons,
        labels=run.labels,
        parent=run.parent,
        principal=run.principal,
        subject=run.subject,
        started_at=run.created_at,
        updated_at=run.updated_at,
        ended_at=run.ended_at,
        next_wake=run.next_wake,
        deadline=run.deadline,
        progress=run.progress,
        figures=None if figures is None else RunFigures.read(figures.figures, goal=figures.goal),
        current=figures is not None and figures.folded >= run.head,
    )
