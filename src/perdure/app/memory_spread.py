"""How far it has spread: which runs were handed what a run has written, and what they have written since.

Told from the journals alone, the newest first. A run that was handed an item before it wrote may have made of it what
it wrote; whether it has, nobody can tell by looking. So everything behind the first such recall is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..journal import Entry, Kind, RunQuery, RunRecord, Store
from ..memory import answer_in
from .memory_journals import writes_of

__all__ = ["Carried", "Spread", "spread_of"]

_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A write of a run that had been handed, directly or over others, what the first has written."""

    id: str
    """`RUN/STEP`"""
    agent: str
    tool: str
    at: int
    over: str
    """the item that it had been handed before, first"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How far it has come."""

    writes: Sequence[Carried]
    """in the order of time"""
    runs: Sequence[str]
    """all runs that were handed something of it, also those that wrote nothing"""
    looked: int
    complete: bool
    """whether those were all runs that there are"""


class _Handed(NamedTuple):
    items: Sequence[str]


class _Wrote(NamedTuple):
    id: str
    tool: str
    at: int


class _Told(NamedTuple):
    """Of one run: what it was handed and what it wrote, in the order of its journal."""

    agent: str
    events: Sequence[_Handed | _Wrote]


async def spread_of(store: Store, tenant: str, run: str, *, most: int) -> Spread:
    """How far what a run has written has spread, by the journals of the newest `most` runs."""
    told: dict[str, _Told] = {}
    before: int | None = None
    complete = False
    while len(told) < most and not complete:
        limit = min(_PAGE, most - len(told))
        page = await store.find(RunQuery(tenant=tenant, own=False, pruned=False, limit=limit, before=before))
        for record in page:
            told[record.ref.id] = _told(record, await store.read(record.ref))
            before = record.rid
        complete = len(page) < limit
    return _spread(told, run, complete=complete)


def _told(record: RunRecord, entries: Sequence[Entry]) -> _Told:
    events: list[_Handed | _Wrote] = []
    written: set[str] = set()
    for entry in entries:
        if entry.kind == Kind.RESULT and (answer := answer_in(entry.payload)) is not None:
            events.append(_Handed([item.id for item in answer.items]))
        for write in writes_of(record.ref, [entry]):
            if write.id not in written:
                written.add(write.id)
                events.append(_Wrote(write.id, write.tool, write.at))
    return _Told(record.agent, events)


def _spread(told: Mapping[str, _Told], first: str, *, complete: bool) -> Spread:
    """Until nothing is added any more: a run may be handed what another has made of it."""
    carried: dict[str, Carried] = {}
    runs: set[str] = set()
    grown = True
    while grown:
        grown = False
        for run, one in told.items():
            over = ""
            for event in one.events if run != first else ():
                if isinstance(event, _Handed):
                    over = over or next((i for i in event.items if _taints(i, first, carried)), "")
                elif over and event.id not in carried:
                    carried[event.id] = Carried(
                        id=event.id, agent=one.agent, tool=event.tool, at=event.at, over=over
                    )
                    grown = True
            if over:
                runs.add(run)
    writes = sorted(carried.values(), key=lambda each: each.at)
    return Spread(writes=writes, runs=sorted(runs), looked=len(told), complete=complete)


def _taints(item: str, first: str, carried: Mapping[str, Carried]) -> bool:
    return item in carried or item.partition("/")[0] == first
