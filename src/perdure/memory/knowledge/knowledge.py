"""`Knowledge`: entities and dated facts on any ledger. What a run calls, and what people look at.

What it promises, whatever the ledger:

- a write is done once under its key, however often it is asked for, and is all there or not at all;
- whoever reads after a write has returned sees it;
- nothing that was known is overwritten: a fact that ends, or is taken back, can be read as it was known (`known_at`);
- what holds at a time follows from what was said, in whatever order; what contradicts itself is kept, and told;
- two entities become one only where somebody says so, and become two again when that is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import pydantic_core

from ...core.errors import ConfigError
from ..port import Origin
from ..remembered import Whose
from . import names, reading, writing
from .ledger import FactQuery, Ledger, View, WalkQuery, WriteRow
from .times import ALWAYS, NEVER, When, moment
from .values import (
    Direction,
    Entity,
    Fact,
    Found,
    Merged,
    Named,
    Retracted,
    Said,
    Subgraph,
    Undone,
)

__all__ = ["Knowledge"]

T = TypeVar("T")

LONGEST_VALUE = 64 * 1024
"""Bytes of a value as JSON. What is longer belongs into a document, and its name here."""
MOST = 1000
"""Items of one page."""
MOST_HOPS = 5


class Knowledge:
    """What is known, on a ledger. Of the relations in `functional` one fact holds at a time."""

    def __init__(self, ledger: Ledger, *, functional: Collection[str] = ()) -> None:
        self.ledger = ledger
        self.functional = frozenset(
            names.word(each, what="a relation of which one holds at a time") for each in functional
        )

    # entities --------------------------------------------------------------------------------------------------

    async def find(self, realm: Whose, kind: str, name: str, *, aliases: Sequence[str] = ()) -> Found:
        """The entity of that very name, or of one of `aliases`; else those that it may be."""
        kind, given = _kind(kind), _names(name, aliases)
        return await self.ledger.read(realm, lambda view: reading.find(view, kind, given))

    async def entity(
        self,
        realm: Whose,
        kind: str,
        name: str,
        *,
        origin: Origin,
        key: str,
        aliases: Sequence[str] = (),
        another: bool = False,
    ) -> Named:
        """The entity of that very name, made where there is none; with `another`, made whoever else has the name.

        It is found under `aliases` too from then on. Several of the name: nothing is written.
        """
        kind, given = _kind(kind), _names(name, aliases)
        locks = [f"name|{kind}|{names.same(each)}" for each in given]

        def change(view: View) -> tuple[writing.Did, int]:
            return writing.name_entity(view, key, origin, kind, given, another=another)

        did, write = await self.ledger.write(realm, locks, change)
        entity = await self.get(realm, did["entity"]) if did["entity"] else None
        return Named(entity=entity, new=did["new"], write=write)

    async def alias(
        self, realm: Whose, entity: int, name: str, *, origin: Origin, key: str, why: str = ""
    ) -> Named:
        """Let an entity be found under one more name."""
        given = names.name(name)
        did, write = await self._write(
            realm, [entity], lambda view, _: writing.add_alias(view, key, origin, entity, given, why=why)
        )
        return Named(entity=await self.get(realm, did["entity"]), new=did["new"], write=write)

    async def get(self, realm: Whose, entity: int) -> Entity | None:
        """An entity, as what it is now; None: there is none of that id here."""

        def look(view: View) -> Entity | None:
            return reading.entities(view, [entity])[0] if view.entities([entity]) else None

        return await self.ledger.read(realm, look)

    async def ls(
        self, realm: Whose, *, kind: str | None = None, after: int = 0, limit: int = 100
    ) -> list[Entity]:
        """Entities behind an id, in the order of their ids."""
        kind = None if kind is None else _kind(kind)

        def look(view: View) -> list[Entity]:
            return reading.entities(view, [row.id for row in view.listed(kind, after, _page(limit))])

        return await self.ledger.read(realm, look)

    async def merge(
        self, realm: Whose, one: int, into: int, *, origin: Origin, key: str, why: str = ""
    ) -> Merged:
        """Let an entity be another one: it is found under both names, and has the facts of both."""

        def change(view: View, locked: Collection[int]) -> tuple[writing.Did, int]:
            return writing.merge(
                view, key, origin, one, into, why=why, functional=self.functional, locked=locked
            )

        did, write = await self._write(realm, [one, into], change)
        return Merged(into=did["into"], moved=did["moved"], dated=tuple(did["dated"]), write=write)

    # facts -----------------------------------------------------------------------------------------------------

    async def say(
        self,
        realm: Whose,
        subject: int,
        relation: str,
        *,
        object: int | None = None,
        value: Any = None,
        valid_from: When | None = None,
        valid_to: When | None = None,
        confidence: float | None = None,
        origin: Origin,
        key: str,
    ) -> Said:
        """Keep a fact: that a subject has a relation to an `object` (an entity), or a `value` (JSON)."""
        relation = names.word(relation, what="a relation")
        since = ALWAYS if valid_from is None else moment(valid_from)
        until = NEVER if valid_to is None else moment(valid_to)
        if since >= until:
            raise ConfigError(f"a fact cannot end (`{valid_to}`) before it begins (`{valid_from}`)")
        if confidence is not None and not 0 <= confidence <= 1:
            raise ConfigError(f"`{confidence}` is no confidence: give a number from 0 to 1")
        said = writing.Statement(
            subject=subject,
            relation=relation,
            object=object or 0,
            value="" if object is not None else _json(value),
            valid_from=since,
            valid_to=until,
            confidence=confidence,
        )
        one = relation in self.functional

        def change(view: View, locked: Collection[int]) -> tuple[writing.Did, int]:
            return writing.say(view, key, origin, said, one=one, locked=locked)

        did, write = await self._write(realm, [subject], change)
        return Said(
            fact=did["fact"],
            new=did["new"],
            dated=tuple(did["dated"]),
            contradicts=tuple(did["contradicts"]),
            write=write,
        )

    async def retract(self, realm: Whose, fact: int, *, origin: Origin, key: str, why: str = "") -> Retracted:
        """Take a fact back. It is not known any more from now on; what was known before stays as it was known."""

        def change(view: View, locked: Collection[int]) -> tuple[writing.Did, int]:
            return writing.retract(
                view, key, origin, fact, why=why, functional=self.functional, locked=locked
            )

        versions = await self.ledger.read(realm, lambda view: view.versions(fact))
        did, write = await self._write(realm, [row.subject for row in versions[-1:]], change)
        return Retracted(fact=fact, done=did["done"], dated=tuple(did["dated"]), write=write)

    async def undo(self, realm: Whose, write: int, *, origin: Origin, key: str, why: str = "") -> Undone:
        """Undo what a write did, if nobody has: unsay, know again, take names away, make two of one."""

        def change(view: View, locked: Collection[int]) -> tuple[writing.Did, int]:
            return writing.undo(view, key, origin, write, why=why, functional=self.functional, locked=locked)

        did, by = await self._write(realm, [], change)
        return Undone(undid=did["undid"], facts=tuple(did["facts"]), write=by)

    # reading ---------------------------------------------------------------------------------------------------

    async def about(
        self,
        realm: Whose,
        entity: int,
        relation: str | None = None,
        *,
        direction: Direction = "out",
        as_of: When | None = None,
        known_at: When | None = None,
        ever: bool = False,
        after: int = 0,
        limit: int = 100,
    ) -> list[Fact]:
        """Facts about an entity that hold now, or at `as_of`; with `ever`, whenever they hold.

        As they are known now, or were at `known_at`. A page goes on behind the `version` given as `after`.
        """
        relation = None if relation is None else names.word(relation, what="a relation")
        _page(limit)

        def look(view: View) -> list[Fact]:
            query = FactQuery(
                entity=reading.root(view, entity).id,
                relation=relation,
                direction=direction,
                as_of=None if ever else view.now if as_of is None else moment(as_of),
                known_at=None if known_at is None else moment(known_at),
                after=after,
                limit=limit,
            )
            return reading.facts(view, view.facts(query), self.functional)

        return await self.ledger.read(realm, look)

    async def history(
        self,
        realm: Whose,
        entity: int,
        relation: str | None = None,
        *,
        direction: Direction = "out",
        after: int = 0,
        limit: int = 100,
    ) -> list[Fact]:
        """All versions of all facts about an entity, in the order in which they became known."""
        relation = None if relation is None else names.word(relation, what="a relation")
        _page(limit)

        def look(view: View) -> list[Fact]:
            query = FactQuery(
                entity=reading.root(view, entity).id,
                relation=relation,
                direction=direction,
                every=True,
                after=after,
                limit=limit,
            )
            return reading.facts(view, view.facts(query), self.functional)

        return await self.ledger.read(realm, look)

    async def fact(self, realm: Whose, fact: int) -> list[Fact]:
        """All versions of one fact, the oldest first; none: there is none of that id here."""
        return await self.ledger.read(
            realm, lambda view: reading.facts(view, view.versions(fact), self.functional)
        )

    async def traverse(
        self,
        realm: Whose,
        entity: int,
        *,
        hops: int = 2,
        relations: Sequence[str] = (),
        direction: Direction = "both",
        as_of: When | None = None,
        known_at: When | None = None,
        limit: int = 200,
    ) -> Subgraph:
        """What is reached from an entity over at most `hops` facts that hold now, or at `as_of`."""
        if not 1 <= hops <= MOST_HOPS:
            raise ConfigError(f"`{hops}` is no number of hops: give 1 to {MOST_HOPS}")
        of = tuple(names.word(each, what="a relation") for each in relations)
        _page(limit)

        def look(view: View) -> Subgraph:
            query = WalkQuery(
                start=entity,
                hops=hops,
                relations=of,
                direction=direction,
                as_of=view.now if as_of is None else moment(as_of),
                known_at=None if known_at is None else moment(known_at),
                limit=limit,
            )
            return reading.walk(view, query, self.functional)

        return await self.ledger.read(realm, look)

    async def writes(self, realm: Whose, ids: Sequence[int]) -> list[WriteRow]:
        """Writes by their ids: where each comes from, what it did, what undid it."""
        return await self.ledger.read(realm, lambda view: view.writes(ids))

    async def realms(self, tenant: str) -> list[Whose]:
        """Those of a tenant in which something is or was known."""
        return await self.ledger.realms(tenant)

    async def forget(self, realm: Whose) -> int:
        """Delete all that is known in a realm, for good; how many rows."""
        return await self.ledger.forget(realm)

    async def _write(
        self, realm: Whose, entities: Sequence[int], change: Callable[[View, Collection[int]], T]
    ) -> T:
        """With the locks of these entities, and of those that turn out to be touched too."""
        locked = set(entities)
        while True:
            try:
                return await self.ledger.write(
                    realm,
                    [f"entity|{each}" for each in sorted(locked)],
                    lambda view, locked=frozenset(locked): change(view, locked),
                )
            except writing.LockAlso as more:
                locked |= set(more.entities)


def _kind(kind: str) -> str:
    return names.word(kind, what="a kind of entity")


def _names(name: str, aliases: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([names.name(name), *(names.name(each, what="an alias") for each in aliases)]))


def _page(limit: int) -> int:
    if not 1 <= limit <= MOST:
        raise ConfigError(f"`{limit}` facts cannot be read at once: ask for 1 to {MOST}, page by page")
    return limit


def _json(value: Any) -> str:
    data = pydantic_core.to_json(value)
    if len(data) > LONGEST_VALUE:
        raise ConfigError(
            f"the value has {len(data):,} bytes; a fact says at most {LONGEST_VALUE:,}: keep it elsewhere, and its "
            "name here"
        )
    return data.decode()
