"""What journals tell of memory: what a run has written to it, having been told what, and who was handed an item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core

from ..core.ids import RunRef
from ..governance.policy.remembering import REMEMBERING
from ..journal import Entry, Kind, RunQuery, RunRecord, Store
from ..memory import answer_in

__all__ = ["Read", "Recall", "Written", "place_of", "reads_before", "recalls_of", "writes_of"]

_PAGE = 100
_STEPS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A step of a run that had been told something before it wrote."""

    step: str
    at: int
    recalled: tuple[str, ...] = ()
    """names of the items of memory that it got"""
    labels: tuple[str, ...] = ()
    """of those, or of the tool that it called"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """A run that was handed an item."""

    run: str
    agent: str
    step: str
    at: int
    rank: int
    """from 1: where it stood in the answer"""
    score: float | None
    """by which it was found; None: it was asked for by its name or place"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A write to memory in the journal of a run."""

    id: str
    step: str
    tool: str
    arguments: Mapping[str, Any]
    at: int


def writes_of(ref: RunRef, entries: Iterable[Entry]) -> list[Written]:
    """The writes to memory in a run's journal, in order; each once."""
    found: dict[str, Written] = {}
    for entry in entries:
        if entry.kind != Kind.INTENT or not entry.payload:
            continue
        told: dict[str, Any] = pydantic_core.from_json(entry.payload)
        if told.get("tool") in REMEMBERING and "key" in told:
            step = str(told["key"]).removeprefix(str(ref)).removeprefix("/")
            found.setdefault(
                step,
                Written(
                    id=f"{ref.id}/{step}",
                    step=step,
                    tool=told["tool"],
                    arguments=told.get("arguments") or {},
                    at=entry.at,
                ),
            )
    return list(found.values())


def place_of(written: Written) -> str | None:
    """Where in its layer it was written to, as far as the write says."""
    return written.arguments.get("session")


def reads_before(
    ref: RunRef, entries: Sequence[Entry], written: Written, *, labels: Callable[[str], tuple[str, ...]]
) -> list[Read]:
    """What a run had been told before a write. `labels` are those of the tools that its steps have called."""
    found: list[Read] = []
    for entry in entries:
        if entry.kind == Kind.INTENT and any(w.step == written.step for w in writes_of(ref, [entry])):
            break
        if entry.kind == Kind.MESSAGE and entry.payload:
            message: dict[str, Any] = pydantic_core.from_json(entry.payload)
            found.append(Read(step=f"{message.get('kind')} {message.get('name')}", at=entry.at))
        elif entry.kind == Kind.RESULT:
            answer = answer_in(entry.payload)
            if answer is None:
                found.append(Read(step=entry.key, at=entry.at, labels=labels(entry.key)))
            else:
                ids = tuple(item.id for item in answer.items)
                found.append(Read(step=entry.key, at=entry.at, recalled=ids, labels=answer.labels))
    return found[-_STEPS:]


async def recalls_of(store: Store, tenant: str, id: str, *, most: int) -> tuple[list[Recall], int, bool]:
    """Who was handed an item, the newest runs first; in how many journals that was looked for, and whether in all."""
    found: list[Recall] = []
    looked, before = 0, None
    name = pydantic_core.to_json(id)
    while looked < most:
        query = RunQuery(
            tenant=tenant, own=False, limit=min(_PAGE, most - looked), before=before, pruned=False
        )
        page = await store.find(query)
        for record in page:
            looked += 1
            for entry in await store.read(record.ref):
                if entry.kind == Kind.RESULT and name in entry.payload:
                    found += _recall(record, entry, id)
            before = record.rid
        if len(page) < query.limit:
            return found, looked, True
    return found, looked, False


def _recall(record: RunRecord, entry: Entry, id: str) -> list[Recall]:
    answer = answer_in(entry.payload)
    return [
        Recall(
            run=record.ref.id,
            agent=record.agent,
            step=entry.key,
            at=entry.at,
            rank=rank,
            score=item.score,
        )
        for rank, item in enumerate(() if answer is None else answer.items, 1)
        if item.id == id
    ]
