"""Erasing a person: the key goes, and with it all that was recorded under it.

    no more runs ─► those in flight are ended ─► the key is destroyed ─► payloads, questions, messages are pruned
                                                                        ─► the file is rewritten ─► a record is kept

Each step finds what the one before has left, so an erasure that was interrupted is finished by the same call. The
chains of the runs stay whole: what was recorded is gone, that it was, when and by whom, is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ..core.errors import ConfigError, SubjectErased, Superseded, UnknownSubject
from ..core.ids import RunRef, check_id, check_subject
from ..journal import (
    ENDINGS,
    ERASURE_AGENT,
    Entry,
    Kind,
    RunQuery,
    RunRecord,
    RunStatus,
    fingerprint,
)
from ..runtime import end_claimed, write_run
from .base import AppBase
from .memory import AppMemory

if TYPE_CHECKING:
    from ..db.sealed import SealedStore

__all__ = ["Erasable", "Erasure", "Erasures"]

REASON = "the data of the person it is about was erased"

PAGE = 500
MOST_NAMED = 1000
"""Runs that a record names one by one, with their heads; it counts them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasable:
    """What there is of a person."""

    subject: str
    tenant: str
    runs: int
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What was erased of a person."""

    subject: str
    tenant: str
    by: str
    at: int
    """when the key was destroyed: microseconds, the store's clock"""
    runs: int
    entries: int
    """in their journals; their headers and hashes stay"""
    ended: Sequence[str]
    """runs that were in flight"""
    in_doubt: Sequence[str]
    """steps of those, as `RUN STEP`, whose effects were under way: nobody will know whether they happened"""
    record: str
    """the run that records it"""
    left: str
    """what this database may still hold, and until when; empty: nothing"""


class Erasures(AppBase):
    """The part of `App` that erases people."""

    memory: AppMemory
    """what its agents remember"""

    async def erasable(self, subject: str, *, tenant: str | None = None) -> Erasable:
        """What `erase` would find. Raises `UnknownSubject`."""
        store, where = await _opened(self, tenant)
        query = RunQuery(tenant=where, subject=check_subject(subject))
        runs = await store.count(query)
        if not runs and await store.keys.told(where, subject) is None:
            raise UnknownSubject(
                f"no run of tenant `{where}` is about `{subject}`; `perdure runs ls` shows what there is"
            )
        live = frozenset(RunStatus) - ENDINGS
        flying = await store.count(RunQuery(tenant=where, subject=subject, statuses=live))
        return Erasable(subject=subject, tenant=where, runs=runs, in_flight=flying)

    async def erase(self, subject: str, *, by: str, tenant: str | None = None) -> Erasure:
        """Destroy a person's key, end their runs in flight, and take away what was recorded of them. For good.

        `by` says who does it; it is recorded. No run is ever accepted under that name again. Done twice it finishes
        what was left, and tells the same. Raises `UnknownSubject`, and `StoreSealed` where runs are in flight and no
        master key is here to end them with.
        """
        there = await self.erasable(subject, tenant=tenant)
        store, where = await _opened(self, tenant)
        if there.in_flight:
            await store.keys.find(where, subject)  # or nobody could write how they end
        state = await store.keys.begin_erasing(where, subject, by=by)
        if state["state"] == "erasing":
            await _end_all(store, where, subject, by)
            state = await store.keys.destroy(where, subject)
        heads: list[tuple[str, int, str]] = []
        entries = 0
        async for run in _runs(store, where, subject):
            heads.append((run.ref.id, run.head, run.head_hash.hex()))
            entries += run.head
            await store.prune(run.ref)
        await store.forget_person(where, subject)
        await self.memory.erase_beside(where, subject)
        left = await _scrubbed(store.url)
        found = Erasure(
            subject=subject,
            tenant=where,
            by=state["by"],
            at=state["at"],
            runs=len(heads),
            entries=entries,
            ended=state["ended"],
            in_doubt=state["in_doubt"],
            record=await _record_id(store, where, subject),
            left=left,
        )
        await _record(store, found, heads)
        return found


async def _opened(erasures: Erasures, tenant: str | None) -> tuple[SealedStore, str]:
    await erasures.open()
    where = erasures.tenant if tenant is None else check_id(tenant, what="a tenant")
    return cast("SealedStore", erasures.store), where


async def _runs(
    store: SealedStore, tenant: str, subject: str, statuses: frozenset[RunStatus] = frozenset()
) -> AsyncGenerator[RunRecord]:
    before: int | None = None
    while page := await store.find(
        RunQuery(tenant=tenant, subject=subject, statuses=statuses, limit=PAGE, before=before)
    ):
        for run in page:
            yield run
        before = page[-1].rid


async def _end_all(store: SealedStore, tenant: str, subject: str, by: str) -> None:
    """End what is in flight. Whoever had a run is refused its next append, and so its next effect."""
    live = frozenset(RunStatus) - ENDINGS
    while runs := [run async for run in _runs(store, tenant, subject, live)]:
        if await store.keys.find(tenant, subject) is None:
            raise SubjectErased(
                f"the key of `{subject}` is gone, and runs of it are in flight: they are corrupt"
            )
        for run in runs:
            claim = await store.seize(run.ref)
            if claim is None:
                continue
            doubts = [f"{run.ref.id} {step}" for step in _under_way(claim.entries)]
            await store.keys.note_ended(tenant, subject, run.ref.id, doubts)
            try:
                await end_claimed(store, claim, status=RunStatus.CANCELLED, reason=REASON, actor=by)
            except Superseded:
                continue  # somebody else seized it, or it has ended: it is looked at again


def _under_way(entries: Sequence[Entry]) -> list[str]:
    """Steps whose effect may or may not have happened."""
    standing: dict[str, None] = {}
    for entry in entries:
        if entry.kind in (Kind.INTENT, Kind.UNKNOWN):
            standing[entry.key] = None
        elif entry.kind in (Kind.RESULT, Kind.FAILED, Kind.SETTLED):
            standing.pop(entry.key, None)
    return list(standing)


async def _scrubbed(url: str) -> str:
    """Have what was deleted leave the medium; what of it may be left."""
    if url.startswith("memory:"):
        return ""
    from ..db.maintenance import maintenance_of

    def scrub() -> str:
        store = maintenance_of(url)
        try:
            return store.scrub()
        finally:
            store.close()

    return await asyncio.to_thread(scrub)


async def _record_id(store: SealedStore, tenant: str, subject: str) -> str:
    """The same for whoever finishes the erasure; it tells nothing of the name."""
    return f"erasure-{fingerprint(await store.tenant_key(tenant), subject.encode()).hex()}"


async def _record(store: SealedStore, found: Erasure, heads: Sequence[tuple[str, int, str]]) -> None:
    """A run that says what was erased, by whom: under the tenant's chains like any other, and of nobody's data."""
    result: dict[str, Any] = {
        "subject": found.subject,
        "by": found.by,
        "at": found.at,
        "runs": found.runs,
        "entries": found.entries,
        "ended": [*found.ended],
        "in_doubt": [*found.in_doubt],
        "left": found.left,
        "heads": [*heads[:MOST_NAMED]],
    }
    try:
        await write_run(
            store,
            RunRef(found.tenant, found.record),
            ERASURE_AGENT,
            {"subject": found.subject, "by": found.by},
            by=found.by,
            at=store.now(),
            result=result,
        )
    except Superseded as error:
        raise ConfigError(
            f"`{found.subject}` is being erased by somebody else at this moment; look again in a minute"
        ) from error
