"""What the lists of runs of all stores have in common.

A filter that no index serves would read every run there is, where few match. So a page looks at a bounded number of
runs, the newest first, in steps; if it is not full by then it ends there and says so, and the next one goes on behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..core.ids import RunRef
from ..journal import FiguresRow, ListedRuns, RunQuery, RunRecord, RunStatus

__all__ = ["Ahead", "Found", "has_words", "listed", "narrowed", "searched"]

STEP = 500
"""Runs that are looked at in the first step; in those that follow four times as many."""

NEWEST = (1 << 63) - 1
"""Above the number of every run."""

Found = tuple[RunRecord, FiguresRow | None]


@dataclass(frozen=True, slots=True)
class Ahead:
    """Runs that an index finds, the newest first, and what else they must be."""

    equals: dict[str, str]
    """columns of the index, and their values"""
    statuses: tuple[str, ...]
    """one of these, by the index of statuses; empty: whatever they are"""
    exact: bool
    """whoever is found so matches"""


def narrowed(query: RunQuery, *, more: bool) -> Ahead:
    """By which index the runs of a query are looked for. `more`: it asks for more than `query` says."""
    equals: dict[str, str] = {}
    statuses: tuple[str, ...] = ()
    rest = replace(
        query, limit=1, before=None, own=True
    )  # of their own there are so few that the first step will do
    if query.tenant is not None:
        equals["tenant"], rest = query.tenant, replace(rest, tenant=None)
        # Most runs have succeeded: to look for those by their status is to look at all.
        if query.parent is not None:
            equals["parent"], rest = query.parent, replace(rest, parent=None)
        elif query.subject is not None:
            equals["subject"], rest = query.subject, replace(rest, subject=None)
        elif query.principal is not None:
            equals["principal"], rest = query.principal, replace(rest, principal=None)
        elif query.statuses and (RunStatus.SUCCEEDED not in query.statuses or query.agent is None):
            statuses, rest = tuple(sorted(query.statuses)), replace(rest, statuses=frozenset())
        elif query.agent is not None:
            equals["agent"], rest = query.agent, replace(rest, agent=None)
    return Ahead(equals, statuses, exact=not more and rest == RunQuery(limit=1))


def listed(
    query: RunQuery,
    *,
    exact: bool,
    window: int,
    ahead: Callable[[int, int], tuple[int, int | None]],
    matching: Callable[[int, int, int], list[Found]],
    name: Callable[[int], RunRef],
) -> ListedRuns:
    """A page of runs with their figures, the newest first.

    `ahead(before, n)` looks at the next `n` runs: how many there are, and the last one's `rid`. `matching(before, n,
    limit)` are those of them that match; `name` is the name of one.
    """
    rows: list[Found] = []
    before, looked = NEWEST if query.before is None else query.before, 0
    step = query.limit + 1 if exact else min(STEP, window)
    while True:
        count, last = ahead(before, step)
        if last is None:
            return ListedRuns(rows=rows, last=None)
        rows += matching(before, step, query.limit + 1 - len(rows))
        if len(rows) > query.limit:
            del rows[query.limit :]
            return ListedRuns(rows=rows, last=rows[-1][0].ref)
        if count < step:
            return ListedRuns(rows=rows, last=None)
        looked += count
        if looked >= window:
            return ListedRuns(rows=rows, last=name(last))
        before, step = last, min(4 * STEP, max(1, window - looked))


def searched(text: str) -> str:
    """A text as it is compared, whatever its case: the same in every store, whose own notions of case differ."""
    return text.casefold().replace("\0", " ")


def has_words(run: str, row: FiguresRow | None, wanted: str) -> bool:
    """Whether a run's id or goal has the text in it."""
    text = searched(wanted)
    goal = "" if row is None or row.goal is None else row.goal
    return text in searched(goal) or text in searched(run)
