"""The rows of knowledge in SQL, for both databases: they differ in how a list is given, and in how a graph is walked.

Ids are unique over all realms, and every statement names the realm too: an id of another tenant's is not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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

__all__ = ["FORGET", "REALMS", "Dialect", "SqlView", "find_realm", "made_realm"]

Row = tuple[Any, ...]

_WRITE = "id, key, kind, did, at, run, step, labels, undone"
_ENTITY = "id, kind, name, became, writing"
_FACT_COLUMNS = (
    *("version", "fact", "subject", "relation", "object", "value", "said_subject", "said_object"),
    *("valid_from", "valid_to", "said_to", "confidence", "at", "until", "writing", "made", "ended"),
)
_FACT = ", ".join(f"f.{column}" for column in _FACT_COLUMNS)

FIND_REALM = "select realm from {s}knowledge_realms where tenant = ? and subject = ? and agent = ?"
ADD_REALM = "insert into {s}knowledge_realms (tenant, subject, agent) values (?, ?, ?) on conflict do nothing"
REALMS = (
    "select tenant, subject, agent from {s}knowledge_realms r where tenant = ? "
    "and exists (select 1 from {s}knowledge_writes w where w.realm = r.realm) order by subject, agent"
)

DONE = f"select {_WRITE} from {{s}}knowledge_writes where realm = ? and key = ?"
# A `+` keeps SQLite from beginning with all rows of the realm, or with all of a subject to have them in order.
WRITES = f"select {_WRITE} from {{s}}knowledge_writes where +realm = ? and id in {{ids}} order by id"
LOG = f"select {_WRITE} from {{s}}knowledge_writes where realm = ? and id > ? order by id limit ?"
ENTITIES = f"select {_ENTITY} from {{s}}knowledge_entities where +realm = ? and id in {{ids}} order by id"
MEMBERS = """
    with recursive members (root, id) as (
        select id, id from {s}knowledge_entities where +realm = ? and id in {ids}
        union all
        select m.root, e.id from members m join {s}knowledge_entities e on e.became = m.id and e.became <> 0
    )
    select root, id from members
"""
NAMED = """
    select distinct entity from {s}knowledge_names where realm = ? and kind = ? and same = ? order by entity
"""
NEAR = """
    select entity from {s}knowledge_blocks where realm = ? and kind = ? and block in {texts}
    group by entity order by count(*) desc, entity limit ?
"""
NAMES = """
    select entity, kind, name, writing from {s}knowledge_names where +realm = ? and entity in {ids} order by n
"""
LISTED = (
    f"select {_ENTITY} from {{s}}knowledge_entities where realm = ? {{kind}} and id > ? and became = 0 "
    "order by id limit ?"
)
FACTS = f"select {_FACT} from {{s}}knowledge_facts f where f.realm = ?"
FACTS_END = " and f.version > ? order by f.version limit ?"
BOTH = """
    (f.subject = ? or (f.object = ? and f.object <> 0))
"""
GROUP = (
    f"select {_FACT} from {{s}}knowledge_facts f where f.realm = ? and f.subject = ? and f.relation = ? "
    f"and f.until = {NEVER} order by +f.version"
)
ALIKE = (
    f"select {_FACT} from {{s}}knowledge_facts f where f.realm = ? and f.subject = ? and f.relation = ? "
    f"and f.object = ? and f.digest = ? and f.until = {NEVER} limit 100"
)
VERSIONS = (
    f"select {_FACT} from {{s}}knowledge_facts f where f.realm = ? and f.version = ? and f.fact = f.version "
    f"union all select {_FACT} from {{s}}knowledge_facts f where f.realm = ? and f.fact = ? and f.fact <> f.version"
)
OF_VERSIONS = f"select {_FACT} from {{s}}knowledge_facts f where f.realm = ? and f.version in {{ids}}"

ADD_WRITE = (
    "insert into {s}knowledge_writes (id, realm, key, kind, did, at, run, step, labels) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
SET_UNDONE = "update {s}knowledge_writes set undone = ? where realm = ? and id = ?"
ADD_ENTITY = """
    insert into {s}knowledge_entities (realm, kind, name, became, writing) values (?, ?, ?, ?, ?) returning id
"""
ADD_NAME = (
    "insert into {s}knowledge_names (realm, entity, kind, same, name, writing) values (?, ?, ?, ?, ?, ?)"
)
ADD_BLOCK = (
    "insert into {s}knowledge_blocks (realm, kind, block, entity) values (?, ?, ?, ?) on conflict do nothing"
)
DROP_NAMES = "delete from {s}knowledge_names where realm = ? and entity = ? and writing = ?"
POINT = "update {s}knowledge_entities set became = ? where realm = ? and id = ?"
MOVE_SUBJECTS = """
    update {s}knowledge_facts set subject = ? where realm = ? and subject = ? and said_subject in {ids}
    returning version
"""
MOVE_OBJECTS = """
    update {s}knowledge_facts set object = ?
    where realm = ? and object = ? and object <> 0 and said_object in {ids}
    returning version
"""
ADD_FACT = (
    f"insert into {{s}}knowledge_facts ({', '.join(_FACT_COLUMNS)}, realm, digest) "
    f"values ({', '.join('?' * (len(_FACT_COLUMNS) + 2))})"
)
END_FACT = "update {s}knowledge_facts set until = ?, ended = ? where realm = ? and version = ?"

FORGET = tuple(
    f"delete from {{s}}knowledge_{table} where realm = ?"
    for table in ("facts", "blocks", "names", "entities", "writes")
)
"""The realm's row stays: who has met it may know its number."""


class Dialect(Protocol):
    """How a database is spoken to."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run a statement of this module; its rows."""
        ...

    def next_id(self, table: str, column: str) -> int:
        """The next number of a table."""
        ...

    def ids(self, values: Sequence[int]) -> Any:
        """A list of numbers, as a value for `{ids}`."""
        ...

    def texts(self, values: Sequence[str]) -> Any:
        """A list of texts, as a value for `{texts}`."""
        ...

    def walk(self, realm: int, query: WalkQuery) -> list[tuple[int, int, int]]:
        """Entity, hops and version of each fact that is walked over, the nearest first."""
        ...


def find_realm(database: Dialect, realm: Whose) -> int:
    """Its number; 0: nothing is known in it, which no row belongs to."""
    found = database.rows(FIND_REALM, _named(realm))
    return found[0][0] if found else 0


def made_realm(database: Dialect, realm: Whose) -> int:
    """Its number, given now if it has none."""
    found = find_realm(database, realm)
    if not found:
        database.rows(ADD_REALM, _named(realm))
        found = find_realm(database, realm)
    return found


def _named(realm: Whose) -> tuple[str, str, str]:
    return realm.tenant, realm.subject or "", realm.agent or ""


@dataclass
class SqlView:
    """The `View` of a realm in a database."""

    database: Dialect
    realm: int
    now: int

    # reading ---------------------------------------------------------------------------------------------------

    def done(self, key: str) -> WriteRow | None:
        """The write of that key."""
        found = self._rows(DONE, key)
        return WriteRow(*found[0]) if found else None

    def writes(self, ids: Sequence[int]) -> list[WriteRow]:
        """Writes by their ids."""
        return [WriteRow(*row) for row in self._of(WRITES, ids)]

    def log(self, after: int, limit: int) -> list[WriteRow]:
        """Writes behind an id."""
        return [WriteRow(*row) for row in self._rows(LOG, after, limit)]

    def entities(self, ids: Sequence[int]) -> list[EntityRow]:
        """Entities by their ids."""
        return [EntityRow(*row) for row in self._of(ENTITIES, ids)]

    def members(self, entities: Sequence[int]) -> dict[int, list[int]]:
        """Of each: it, and all that were merged into it."""
        found: dict[int, list[int]] = {each: [] for each in entities}
        for root, id in self._of(MEMBERS, entities):
            found[root].append(id)
        return found

    def named(self, kind: str, same: str) -> list[int]:
        """Entities that were given a name."""
        return [row[0] for row in self._rows(NAMED, kind, same)]

    def near(self, kind: str, blocks: Sequence[str], limit: int) -> list[int]:
        """Entities whose names share blocks."""
        if not blocks:
            return []
        return [row[0] for row in self._rows(NEAR, kind, self.database.texts(blocks), limit)]

    def names(self, entities: Sequence[int]) -> list[NameRow]:
        """All names that were given to these."""
        return [NameRow(*row) for row in self._of(NAMES, entities)]

    def listed(self, kind: str | None, after: int, limit: int) -> list[EntityRow]:
        """Entities behind an id."""
        sql = LISTED.replace("{kind}", "" if kind is None else "and kind = ?")
        return [EntityRow(*row) for row in self._rows(sql, *([] if kind is None else [kind]), after, limit)]

    def facts(self, query: FactQuery) -> list[FactRow]:
        """Facts of an entity."""
        sql, values = FACTS, list[Any]()

        def also(condition: str, *of: Any) -> None:
            nonlocal sql
            sql += f" and {condition}"
            values.extend(of)

        match query.direction:
            case "out":
                also("f.subject = ?", query.entity)
            case "in":
                also("f.object = ? and f.object <> 0", query.entity)
            case "both":
                also(BOTH, query.entity, query.entity)
        if query.relation is not None:
            also("f.relation = ?", query.relation)
        if not query.every:
            if query.known_at is None:
                also(f"f.until = {NEVER}")
            else:
                also("f.at <= ? and f.until > ?", query.known_at, query.known_at)
        if query.as_of is not None:
            also("f.valid_from <= ? and f.valid_to > ?", query.as_of, query.as_of)
        end = FACTS_END if query.relation is None else FACTS_END.replace("by f.", "by +f.")
        return [FactRow(*row) for row in self._rows(sql + end, *values, query.after, query.limit)]

    def group(self, subject: int, relation: str) -> list[FactRow]:
        """What is known now of a subject and a relation."""
        return [FactRow(*row) for row in self._rows(GROUP, subject, relation)]

    def alike(self, subject: int, relation: str, object: int, digest: str) -> list[FactRow]:
        """What is known now that says the same."""
        return [FactRow(*row) for row in self._rows(ALIKE, subject, relation, object, digest)]

    def versions(self, fact: int) -> list[FactRow]:
        """All versions of a fact."""
        rows = self._rows(VERSIONS, fact, self.realm, fact)
        return sorted(FactRow(*row) for row in rows)

    def walk(self, query: WalkQuery) -> list[Step]:
        """Facts that are walked over from an entity."""
        steps = self.database.walk(self.realm, query)
        versions = sorted({version for _, _, version in steps})
        facts = {row[0]: FactRow(*row) for row in self._of(OF_VERSIONS, versions)}
        return [Step(entity, hops, facts[version]) for entity, hops, version in steps]

    # writing ---------------------------------------------------------------------------------------------------

    def next_write(self) -> int:
        """The id of the write that is under way."""
        return self.database.next_id("knowledge_writes", "id")

    def add_write(self, row: WriteRow) -> None:
        """Keep a write."""
        self.database.rows(ADD_WRITE, (row.id, self.realm, *row[1:8]))

    def set_undone(self, write: int, by: int) -> None:
        """A write was undone."""
        self.database.rows(SET_UNDONE, (by, self.realm, write))

    def add_entity(self, row: EntityRow) -> int:
        """An entity."""
        return self._rows(ADD_ENTITY, *row[1:])[0][0]

    def add_name(self, row: NameRow, same: str, blocks: Sequence[str]) -> None:
        """A name."""
        self._rows(ADD_NAME, row.entity, row.kind, same, row.name, row.write)
        for block in blocks:
            self._rows(ADD_BLOCK, row.kind, block, row.entity)

    def drop_names(self, entity: int, write: int) -> None:
        """Take away the names that a write gave."""
        self._rows(DROP_NAMES, entity, write)

    def point(self, entity: int, into: int) -> None:
        """Let an entity be another one."""
        self.database.rows(POINT, (into, self.realm, entity))

    def move(self, said: Sequence[int], source: int, to: int) -> int:
        """Facts that were said about these are about `to` now."""
        return sum(
            len(self.database.rows(sql, (to, self.realm, source, self.database.ids(said))))
            for sql in (MOVE_SUBJECTS, MOVE_OBJECTS)
        )

    def add_fact(self, row: FactRow, digest: str) -> int:
        """A version."""
        version = self.database.next_id("knowledge_facts", "version")
        self.database.rows(ADD_FACT, (version, row.fact or version, *row[2:], self.realm, digest))
        return version

    def end_fact(self, version: int, by: int) -> None:
        """It is not known any more."""
        self.database.rows(END_FACT, (self.now, by, self.realm, version))

    def _rows(self, sql: str, *values: Any) -> list[Row]:
        return self.database.rows(sql, (self.realm, *values))

    def _of(self, sql: str, ids: Sequence[int]) -> list[Row]:
        return self._rows(sql, self.database.ids(ids)) if ids else []
