"""Knowledge of the store in memory."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from ..memory import Whose
from ..memory.knowledge import (
    NEVER,
    EntityRow,
    FactQuery,
    FactRow,
    NameRow,
    Step,
    WalkQuery,
    WriteRow,
)
from ..memory.knowledge.ledger import View

__all__ = ["MemoryLedger"]

T = TypeVar("T")


@dataclass
class _Rows:
    """What is kept of a realm. Rows are never changed, so a copy is one of the containers alone."""

    writes: dict[int, WriteRow] = field(default_factory=dict[int, WriteRow])
    keys: dict[str, int] = field(default_factory=dict[str, int])
    entities: dict[int, EntityRow] = field(default_factory=dict[int, EntityRow])
    names: list[tuple[NameRow, str, tuple[str, ...]]] = field(
        default_factory=list[tuple[NameRow, str, tuple[str, ...]]]
    )
    facts: dict[int, FactRow] = field(default_factory=dict[int, FactRow])
    digests: dict[int, str] = field(default_factory=dict[int, str])

    def copy(self) -> _Rows:
        """To be written to, and thrown away where that fails."""
        return _Rows(
            dict(self.writes),
            dict(self.keys),
            dict(self.entities),
            list(self.names),
            dict(self.facts),
            dict(self.digests),
        )


class MemoryLedger:
    """The `Ledger` in dicts: for tests, and for trying things out. It looks at every row."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._realms: dict[Whose, _Rows] = {}
        self._ids = itertools.count(1)

    async def read(self, realm: Whose, function: Callable[[View], T]) -> T:
        """What `function` finds."""
        with self._lock:
            return function(_MemoryView(self._realms.get(realm, _Rows()), self._now(), self._ids))

    async def write(self, realm: Whose, locks: Sequence[str], function: Callable[[View], T]) -> T:
        """Do what `function` does: on a copy, which takes the place of what was there."""
        with self._lock:
            rows = self._realms.get(realm, _Rows()).copy()
            result = function(_MemoryView(rows, self._now(), self._ids))
            self._realms[realm] = rows
            return result

    async def realms(self, tenant: str) -> list[Whose]:
        """Those of a tenant."""
        with self._lock:
            found = (realm for realm, rows in self._realms.items() if realm.tenant == tenant and rows.writes)
            return sorted(found, key=lambda r: (r.subject or "", r.agent or ""))

    async def forget(self, realm: Whose) -> int:
        """Delete all that is known in a realm."""
        with self._lock:
            rows = self._realms.pop(realm, _Rows())
            return sum(map(len, (rows.writes, rows.entities, rows.names, rows.facts)))


class _MemoryView:
    def __init__(self, rows: _Rows, now: int, ids: Iterator[int]) -> None:
        self._rows = rows
        self._ids = ids
        self.now = now

    # reading ---------------------------------------------------------------------------------------------------

    def done(self, key: str) -> WriteRow | None:
        found = self._rows.keys.get(key)
        return None if found is None else self._rows.writes[found]

    def writes(self, ids: Sequence[int]) -> list[WriteRow]:
        return [self._rows.writes[each] for each in sorted(set(ids)) if each in self._rows.writes]

    def log(self, after: int, limit: int) -> list[WriteRow]:
        return list(islice((row for row in self._rows.writes.values() if row.id > after), limit))

    def entities(self, ids: Sequence[int]) -> list[EntityRow]:
        return [self._rows.entities[each] for each in sorted(set(ids)) if each in self._rows.entities]

    def members(self, entities: Sequence[int]) -> dict[int, list[int]]:
        return {each: self._members(each) for each in entities}

    def _members(self, entity: int) -> list[int]:
        found = [entity]
        for each in found:
            found += [row.id for row in self._rows.entities.values() if row.into == each]
        return found

    def named(self, kind: str, same: str) -> list[int]:
        found = (row.entity for row, key, _ in self._rows.names if row.kind == kind and key == same)
        return sorted(set(found))

    def near(self, kind: str, blocks: Sequence[str], limit: int) -> list[int]:
        shared: dict[int, set[str]] = {}
        for row, _, of in self._rows.names:
            if row.kind == kind and (both := set(of) & set(blocks)):
                shared.setdefault(row.entity, set()).update(both)
        return sorted(shared, key=lambda each: (-len(shared[each]), each))[:limit]

    def names(self, entities: Sequence[int]) -> list[NameRow]:
        return [row for row, _, _ in self._rows.names if row.entity in entities]

    def listed(self, kind: str | None, after: int, limit: int) -> list[EntityRow]:
        rows = (
            row
            for row in self._rows.entities.values()
            if row.id > after and not row.into and kind in (None, row.kind)
        )
        return list(islice(rows, limit))

    def facts(self, query: FactQuery) -> list[FactRow]:
        rows = (
            row
            for row in self._rows.facts.values()
            if row.version > query.after
            and _touches(row, query.entity, query.direction)
            and query.relation in (None, row.relation)
            and (query.every or _known(row, query.known_at))
            and (query.as_of is None or row.valid_from <= query.as_of < row.valid_to)
        )
        return list(islice(rows, query.limit))

    def group(self, subject: int, relation: str) -> list[FactRow]:
        return [
            row
            for row in self._rows.facts.values()
            if row.current and (row.subject, row.relation) == (subject, relation)
        ]

    def alike(self, subject: int, relation: str, object: int, digest: str) -> list[FactRow]:
        found = [
            row
            for row in self.group(subject, relation)
            if row.object == object and self._rows.digests[row.version] == digest
        ]
        return found[:100]

    def versions(self, fact: int) -> list[FactRow]:
        return [row for row in self._rows.facts.values() if row.fact == fact]

    def walk(self, query: WalkQuery) -> list[Step]:
        found: list[Step] = []
        reached, frontier = {query.start}, [query.start]
        for hops in range(1, query.hops + 1):
            ahead: list[int] = []
            for entity in frontier:
                for row in self._rows.facts.values():
                    if (
                        row.object
                        and _touches(row, entity, query.direction)
                        and (not query.relations or row.relation in query.relations)
                        and _known(row, query.known_at)
                        and row.valid_from <= query.as_of < row.valid_to
                    ):
                        other = row.object if row.subject == entity else row.subject
                        found.append(Step(other, hops, row))
                        if other not in reached:
                            reached.add(other)
                            ahead.append(other)
                        if len(found) > query.limit:
                            return found
            frontier = ahead
        return found

    # writing ---------------------------------------------------------------------------------------------------

    def next_write(self) -> int:
        return next(self._ids)

    def add_write(self, row: WriteRow) -> None:
        self._rows.writes[row.id] = row
        self._rows.keys[row.key] = row.id

    def set_undone(self, write: int, by: int) -> None:
        self._rows.writes[write] = self._rows.writes[write]._replace(undone=by)

    def add_entity(self, row: EntityRow) -> int:
        row = row._replace(id=next(self._ids))
        self._rows.entities[row.id] = row
        return row.id

    def add_name(self, row: NameRow, same: str, blocks: Sequence[str]) -> None:
        self._rows.names.append((row, same, tuple(blocks)))

    def drop_names(self, entity: int, write: int) -> None:
        self._rows.names = [
            each for each in self._rows.names if (each[0].entity, each[0].write) != (entity, write)
        ]

    def point(self, entity: int, into: int) -> None:
        self._rows.entities[entity] = self._rows.entities[entity]._replace(into=into)

    def move(self, said: Sequence[int], source: int, to: int) -> int:
        moved = 0
        for row in list(self._rows.facts.values()):
            subject = to if row.subject == source and row.said_subject in said else row.subject
            object = to if row.object == source and row.said_object in said else row.object
            if (subject, object) != (row.subject, row.object):
                self._rows.facts[row.version] = row._replace(subject=subject, object=object)
                moved += 1
        return moved

    def add_fact(self, row: FactRow, digest: str) -> int:
        version = next(self._ids)
        self._rows.facts[version] = row._replace(version=version, fact=row.fact or version)
        self._rows.digests[version] = digest
        return version

    def end_fact(self, version: int, by: int) -> None:
        self._rows.facts[version] = self._rows.facts[version]._replace(until=self.now, ended=by)


def _touches(row: FactRow, entity: int, direction: str) -> bool:
    return (direction != "in" and row.subject == entity) or (direction != "out" and row.object == entity)


def _known(row: FactRow, at: int | None) -> bool:
    return row.until == NEVER if at is None else row.at <= at < row.until
