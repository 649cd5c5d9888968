"""A realm's `View` in a graph: it reads as it goes, and keeps what is written for the one query that writes it all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...memory.knowledge import (
    NEVER,
    EntityRow,
    FactQuery,
    FactRow,
    NameRow,
    Step,
    WalkQuery,
    WriteRow,
)
from . import queries

__all__ = ["FalkorView", "Query", "first_id"]

Row = list[Any]
Query = Callable[[str, Mapping[str, Any]], list[Row]]


def first_id(tenant: str, realm: str) -> int:
    """Where the ids of a realm begin. Two hardly ever have the same; what counts is that `k` names the realm."""
    digest = hashlib.blake2b(f"{tenant}/{realm}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 12 << 32  # below 2**53, as JSON's readers may keep floats


class FalkorView:
    """The `View` of a realm whose `v` and `ids` were read at its beginning."""

    def __init__(self, query: Query, realm: str, *, first: int, now: int, ids: int) -> None:
        self._query = query
        self._realm = realm
        self._first = first
        self.now = now
        self.ids = ids
        self.changes: dict[str, list[Any]] = {name: [] for name in queries.COMMITS}
        self._facts: dict[int, tuple[FactRow, str, bool]] = {}
        """versions that are written anew: with the digest, and whether there is one to take the place of"""

    # reading ---------------------------------------------------------------------------------------------------

    def done(self, key: str) -> WriteRow | None:
        """The write of that key."""
        found = self._query(queries.DONE, {"key": self._k(key)})
        return WriteRow(*found[0]) if found else None

    def writes(self, ids: Sequence[int]) -> list[WriteRow]:
        """Writes by their ids."""
        return [WriteRow(*row) for row in self._of(queries.WRITES, ids)]

    def log(self, after: int, limit: int) -> list[WriteRow]:
        """Writes behind an id."""
        values = {"realm": self._realm, "after": after, "limit": limit}
        return [WriteRow(*row) for row in self._query(queries.LOG, values)]

    def entities(self, ids: Sequence[int]) -> list[EntityRow]:
        """Entities by their ids."""
        return [EntityRow(*row) for row in self._of(queries.ENTITIES, ids)]

    def members(self, entities: Sequence[int]) -> dict[int, list[int]]:
        """Of each: it, and all that were merged into it."""
        found: dict[int, list[int]] = {each: [] for each in entities}
        for root, id in self._of(queries.MEMBERS, entities):
            found[root].append(id)
        return found

    def named(self, kind: str, same: str) -> list[int]:
        """Entities that were given a name."""
        found = self._query(queries.NAMED, {"same": self._k(f"{kind}|{same}")})
        return [row[0] for row in found]

    def near(self, kind: str, blocks: Sequence[str], limit: int) -> list[int]:
        """Entities whose names share blocks."""
        values = {"ks": [self._k(f"{kind}|{block}") for block in blocks], "limit": limit}
        return [row[0] for row in self._query(queries.NEAR, values)]

    def names(self, entities: Sequence[int]) -> list[NameRow]:
        """All names that were given to these."""
        return [NameRow(*row[:4]) for row in self._of(queries.NAMES, entities)]

    def listed(self, kind: str | None, after: int, limit: int) -> list[EntityRow]:
        """Entities behind an id."""
        sql = queries.LISTED.replace("{kind}", "" if kind is None else "AND e.kind = $kind")
        values = {"realm": self._realm, "after": after, "limit": limit, "kind": kind or ""}
        return [EntityRow(*row) for row in self._query(sql, values)]

    def facts(self, query: FactQuery) -> list[FactRow]:
        """Facts of an entity."""
        match = {"out": queries.OUT, "in": queries.IN, "both": queries.BOTH}[query.direction]
        where = ["f.version > $after"]
        if query.relation is not None:
            where.append("f.relation = $relation")
        if not query.every:
            where.append(_known(query.known_at))
        if query.as_of is not None:
            where.append("f.valid_from <= $as_of AND f.valid_to > $as_of")
        values = {
            "k": self._k(query.entity),
            "after": query.after,
            "relation": query.relation or "",
            "known_at": query.known_at or 0,
            "as_of": query.as_of or 0,
            "limit": query.limit,
        }
        text = (
            f"{match} WHERE {' AND '.join(where)} RETURN DISTINCT {queries.FACT} "
            "ORDER BY f.version LIMIT $limit"
        )
        return [_fact(row) for row in self._query(text, values)]

    def group(self, subject: int, relation: str) -> list[FactRow]:
        """What is known now of a subject and a relation."""
        values = {"k": self._k(subject), "relation": relation}
        text = f"{queries.OUT} WHERE f.relation = $relation AND {_known(None)} RETURN {queries.FACT} ORDER BY f.version"
        return [_fact(row) for row in self._query(text, values)]

    def alike(self, subject: int, relation: str, object: int, digest: str) -> list[FactRow]:
        """What is known now that says the same."""
        values = {"k": self._k(subject), "relation": relation, "object": object, "digest": digest}
        text = (
            f"{queries.OUT} WHERE f.relation = $relation AND f.object = $object AND f.digest = $digest "
            f"AND {_known(None)} RETURN {queries.FACT} ORDER BY f.version LIMIT 100"
        )
        return [_fact(row) for row in self._query(text, values)]

    def versions(self, fact: int) -> list[FactRow]:
        """All versions of a fact."""
        return [_fact(row) for row in self._query(queries.VERSIONS, {"k": self._k(fact)})]

    def walk(self, query: WalkQuery) -> list[Step]:
        """Facts that are walked over: hop by hop, from what was reached in the one before."""
        ways = {"out": [("", ">")], "in": [("<", "")], "both": [("", ">"), ("<", "")]}[query.direction]
        where = f"f.valid_from <= $as_of AND f.valid_to > $as_of AND {_known(query.known_at)}"
        if query.relations:
            where += " AND f.relation IN $relations"
        found: list[Step] = []
        reached, frontier = {query.start}, [query.start]
        for hops in range(1, query.hops + 1):
            ahead: list[int] = []
            for left, right in ways if frontier else ():
                match = queries.WALK.replace("{left}", left).replace("{right}", right)
                values = {
                    "ks": [self._k(each) for each in frontier],
                    "as_of": query.as_of,
                    "known_at": query.known_at or 0,
                    "relations": list(query.relations),
                    "limit": query.limit + 1 - len(found),
                }
                rows = self._query(f"{match} WHERE {where} RETURN b.id, {queries.FACT} LIMIT $limit", values)
                found += [Step(row[0], hops, _fact(row[1:])) for row in rows]
                for row in rows:
                    if row[0] not in reached:
                        reached.add(row[0])
                        ahead.append(row[0])
                if len(found) > query.limit:
                    return found
            frontier = ahead
        return found

    # writing ---------------------------------------------------------------------------------------------------

    def next_write(self) -> int:
        """The id of the write that is under way."""
        return self._next()

    def add_write(self, row: WriteRow) -> None:
        """Keep a write."""
        made = row._asdict() | {"k": self._k(row.id), "key": self._k(row.key), "key_": row.key}
        self.changes["writes"].append(made | {"of": self._realm})

    def set_undone(self, write: int, by: int) -> None:
        """A write was undone."""
        self.changes["undone"].append({"k": self._k(write), "by": by})

    def add_entity(self, row: EntityRow) -> int:
        """An entity."""
        row = row._replace(id=self._next())
        self.changes["entities"].append(row._asdict() | {"k": self._k(row.id), "of": self._realm})
        return row.id

    def add_name(self, row: NameRow, same: str, blocks: Sequence[str]) -> None:
        """A name."""
        made = row._asdict() | {"same": self._k(f"{row.kind}|{same}"), "owner": self._k(row.entity)}
        self.changes["names"].append(made | {"of": self._realm, "n": self._next()})
        self.changes["blocks"] += [
            {"entity": self._k(row.entity), "k": self._k(f"{row.kind}|{block}")} for block in blocks
        ]

    def drop_names(self, entity: int, write: int) -> None:
        """Take away the names that a write gave."""
        self.changes["dropped"].append({"k": self._k(entity), "write": write})

    def point(self, entity: int, into: int) -> None:
        """Let an entity be another one."""
        if into:
            self.changes["merged"].append({"k": self._k(entity), "into": self._k(into), "id": into})
        else:
            self.changes["split"].append(self._k(entity))

    def move(self, said: Sequence[int], source: int, to: int) -> int:
        """Facts that were said about these are about `to` now."""
        values = {"k": self._k(source), "source": source, "said": list(said)}
        found = self._query(queries.MOVING, values)
        for row in found:
            fact = _fact(row)
            subject = to if fact.subject == source and fact.said_subject in said else fact.subject
            object = to if fact.object == source and fact.said_object in said else fact.object
            self._facts[fact.version] = fact._replace(subject=subject, object=object), row[-1], True
        return len(found)

    def add_fact(self, row: FactRow, digest: str) -> int:
        """A version."""
        version = self._next()
        self._facts[version] = row._replace(version=version, fact=row.fact or version), digest, False
        return version

    def end_fact(self, version: int, by: int) -> None:
        """It is not known any more."""
        if version not in self._facts:
            row = self._query(queries.OF_VERSION, {"k": self._k(version)})[0]
            self._facts[version] = _fact(row), row[-1], True
        row, digest, there = self._facts[version]
        self._facts[version] = row._replace(until=self.now, ended=by), digest, there

    def commit(self, v: int) -> tuple[str, dict[str, Any]] | None:
        """The query that writes it all, where nobody has written since; None: there is nothing to write."""
        for row, digest, there in self._facts.values():
            if there:
                self.changes["gone"].append(self._k(row.version))
            made = {**row._asdict(), "k": self._k(row.version), "first": self._k(row.fact), "digest": digest}
            ends = {"s": self._k(row.subject), "o": self._k(row.object), "f": made}
            self.changes["links" if row.object else "values"].append(ends)
        parts = [name for name in queries.COMMITS if self.changes[name]]
        if not parts:
            return None
        text = queries.COMMIT + " ".join(
            f"{queries.COMMITS[name]} WITH r, count(*) AS c{i} WITH r" for i, name in enumerate(parts)
        )
        values = {name: self.changes[name] for name in parts}
        return f"{text} RETURN r.v", {"realm": self._realm, "v": v, "ids": self.ids, **values}

    def _next(self) -> int:
        self.ids += 1
        return self._first + self.ids

    def _k(self, of: object) -> str:
        return f"{self._realm}|{of}"

    def _of(self, text: str, ids: Sequence[int]) -> list[Row]:
        return self._query(text, {"ks": [self._k(each) for each in dict.fromkeys(ids)]}) if ids else []


def _fact(row: Row) -> FactRow:
    return FactRow(*row[: len(queries.FACT_FIELDS)])


def _known(at: int | None) -> str:
    return f"f.until = {NEVER}" if at is None else "f.at <= $known_at AND f.until > $known_at"
