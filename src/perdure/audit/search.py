"""Finding what was done: which runs are meant, and in which of them something happened, without reading all of them.

Runs are looked through by pages, the newest first. Of a page only the entries of a few kinds are read (`of_kind`), and
the whole journal only of a run in which one of them fits.
"""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import pydantic_core

from ..core.ids import RunRef
from ..journal import Entry, Kind, RunQuery, RunRecord, Store
from .deeds import Deeds, Story
from .fact import Deed
from .facts import Facts
from .telling import as_object, told_by

__all__ = ["Done", "Selection", "deeds_of", "journal_of", "runs_of", "same_person", "story_in"]

RUNS = 200
"""looked at together"""

ENTRIES = 1000
"""read together"""

_CALLS = (Kind.INTENT, Kind.WAITING, Kind.VERDICT)
_READS = (Kind.RESULT, Kind.FAILED)
_BY_PEOPLE = (Kind.STARTED, Kind.MESSAGE, Kind.ACCEPTED, Kind.OUTCOME, Kind.ESCALATION)


def same_person(name: str, other: object) -> bool:
    """Whether two names are one person's: `user:Ann` and `ann` are, and `user:ann (settle)` too."""
    return isinstance(other, str) and _person(name) == _person(other.partition(" (")[0])


def _person(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().removeprefix("user:").casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which runs an auditor asks for. What is None does not count. Times are microseconds."""

    tenant: str
    run: str | None = None
    agent: str | None = None
    person: str | None = None
    """it was for them, handles their data, or they had a say in it"""
    since: int | None = None
    """it went on then or later"""
    until: int | None = None
    """it was accepted before"""

    def to_json(self) -> dict[str, Any]:
        """What was asked for, without what was not."""
        from .fact import iso

        told = {
            "tenant": self.tenant,
            "run": self.run,
            "agent": self.agent,
            "person": self.person,
            "from": iso(self.since),
            "to": iso(self.until),
        }
        return {name: value for name, value in told.items() if value is not None}


async def runs_of(
    store: Store,
    wanted: Selection,
    *,
    before: int | None = None,
    looked: Callable[[int], None] = lambda runs: None,
) -> AsyncIterator[list[RunRecord]]:
    """The runs that are meant, by pages, the newest first; `before`: a `rid`.

    `looked` is told how many more were looked at.
    """
    if wanted.run is not None:
        record = await store.get(RunRef(wanted.tenant, wanted.run))
        if record is not None:
            yield [record]
        return
    query = RunQuery(tenant=wanted.tenant, agent=wanted.agent, until=wanted.until, limit=RUNS, before=before)
    while page := await store.find(query):
        found = [r for r in page if wanted.since is None or r.updated_at >= wanted.since]
        if wanted.person is not None:
            found = await _with_person(store, found, wanted.person)
        if found:
            yield found
        looked(len(page))
        if len(page) < RUNS:
            return
        query = replace(query, before=page[-1].rid)


async def _with_person(store: Store, page: Sequence[RunRecord], person: str) -> list[RunRecord]:
    known = {r.rid for r in page if same_person(person, r.principal) or same_person(person, r.subject)}
    for kind in _BY_PEOPLE:
        rest = [r.rid for r in page if r.rid not in known]
        async for rid, entry in _of_kind(store, kind, rest):
            told = as_object(told_by(entry)[0])
            names = (told.get("by"), told.get("subject"), told.get("sender"), entry.actor)
            if any(same_person(person, name) for name in names):
                known.add(rid)
    return [r for r in page if r.rid in known]


async def _of_kind(store: Store, kind: int, rids: Sequence[int]) -> AsyncIterator[tuple[int, Entry]]:
    after = (0, 0)
    while rids:
        page = await store.of_kind(kind, rids, after=after, limit=ENTRIES)
        for found in page:
            yield found
        if len(page) < ENTRIES:
            return
        after = (page[-1][0], page[-1][1].seq)


async def journal_of(store: Store, record: RunRecord, *, after: int = 0) -> AsyncIterator[Entry]:
    """The entries of a run up to the head that `record` has, by pages.

    One that is sealed under a key that is not here is as if it were erased: there is no more to tell, and it verifies.
    """
    while after < record.head:
        page = await store.read(record.ref, after=after, limit=min(ENTRIES, record.head - after))
        if not page:
            return
        for entry in page:
            yield entry.without_payload() if entry.sealed else entry
        after = page[-1].seq


async def story_in(store: Store, record: RunRecord) -> Story:
    """A run's facts, calls and questions, read from the store."""
    facts, deeds, story = Facts.of(record), Deeds(), Story()
    async for entry in journal_of(store, record):
        fact = facts.see(entry)
        deeds.see(entry, fact)
        story.facts.append(fact)
    story.deeds, story.enquiries = deeds.done, deeds.enquiries
    return story


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Which calls are meant."""

    tool: str
    """a tool's name, or a pattern: `pay*`"""
    arguments: Sequence[tuple[str, str]] = ()
    """names, `a.b` for what is inside, and values: as JSON, or as text"""
    reads: bool = False
    """also calls that change nothing, and plain steps; no entry holds their arguments"""

    def meant(self, deed: Deed, wanted: Selection) -> bool:
        """Whether a call is among them."""
        return (
            fnmatchcase(deed.tool, self.tool)
            and (self.reads or deed.effect != "read")
            and (wanted.since is None or (deed.ended or deed.began) >= wanted.since)
            and (wanted.until is None or deed.began < wanted.until)
            and (wanted.person is None or _had_a_say(deed, wanted.person))
            and all(_is(deed.arguments, name, value) for name, value in self.arguments)
        )

    def _may_be(self, entry: Entry) -> bool:
        """Whether an entry may belong to such a call."""
        tool = as_object(told_by(entry)[0]).get("tool")
        name = tool if isinstance(tool, str) else entry.key.rpartition("/")[2].partition(":")[0]
        return fnmatchcase(name, self.tool)

    async def among(self, store: Store, page: Sequence[RunRecord]) -> list[RunRecord]:
        """Those of some runs in which there may be such a call."""
        known: set[int] = set()
        for kind in (*_CALLS, *(_READS if self.reads else ())):
            async for rid, entry in _of_kind(store, kind, [r.rid for r in page if r.rid not in known]):
                if rid not in known and self._may_be(entry):
                    known.add(rid)
        return [r for r in page if r.rid in known]


async def deeds_of(
    store: Store,
    done: Done,
    wanted: Selection,
    *,
    before: int | None = None,
    looked: Callable[[int], None] = lambda runs: None,
) -> AsyncIterator[tuple[RunRecord, list[Deed]]]:
    """The calls that are meant, with their run: the newest run first, and of a run the newest call."""
    people = replace(wanted, person=None)  # who had a say is told by the call, not by its run
    async for page in runs_of(store, people, before=before, looked=looked):
        for record in await done.among(store, page):
            story = await story_in(store, record)
            about = wanted.person is not None and same_person(wanted.person, record.subject)
            found = [deed for deed in story.deeds if done.meant(deed, people if about else wanted)]
            if found:
                yield record, found[::-1]


def _had_a_say(deed: Deed, person: str) -> bool:
    names: list[object] = [deed.behalf, deed.settled_by]
    names += [name for asked in deed.enquiries for name in (asked.by, *(r["by"] for r in asked.refused))]
    return any(same_person(person, name) for name in names)


def _is(arguments: Any, name: str, value: str) -> bool:
    there = arguments
    for part in name.split("."):
        inside = as_object(there)
        if part not in inside:
            return False
        there = inside[part]
    if isinstance(there, str):
        return there == value
    try:
        return there == pydantic_core.from_json(value) and isinstance(there, bool) == (
            value in ("true", "false")
        )
    except ValueError:
        return False
