"""The port of knowledge's backends: a ledger of names and facts, to which rows are added and in which they are ended.

A backend knows nothing of dates that close each other, of similar names, of merges that are undone: that is written
once, in this room, as functions of a `View`. It reads and writes rows; what it promises is that a `write` is all or
nothing, and isolated from every other write that names one of the same locks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from ..remembered import Whose
from .times import NEVER
from .values import Direction

__all__ = [
    "EntityRow",
    "FactQuery",
    "FactRow",
    "Ledger",
    "NameRow",
    "Step",
    "View",
    "WalkQuery",
    "WriteRow",
    "digest",
]

T = TypeVar("T")


def digest(value: str) -> str:
    """By which a value is found that is the same; of a link to an entity, nothing."""
    return hashlib.sha256(value.encode()).hexdigest()[:32] if value else ""


class WriteRow(NamedTuple):
    """One write: where it comes from, what it did, whether it was undone."""

    id: int
    key: str
    """a hash of the key under which it is done once"""
    kind: str
    """`entity`, `alias`, `say`, `retract`, `merge`, `undo`"""
    did: str
    """JSON of ids and numbers: what is answered when it is asked for again"""
    at: int
    run: str
    step: str
    labels: str
    """JSON"""
    undone: int = 0
    """the write that undid it; 0: none"""


class EntityRow(NamedTuple):
    """An entity as it was named first."""

    id: int
    kind: str
    name: str
    into: int
    """what it turned out to be; 0: itself"""
    write: int


class NameRow(NamedTuple):
    """A name under which an entity is found."""

    entity: int
    """that it was given to"""
    kind: str
    name: str
    write: int


class FactRow(NamedTuple):
    """A version of a fact. Times are microseconds; `times.ALWAYS` and `NEVER` where nobody said one."""

    version: int
    fact: int
    subject: int
    """as it is now; `said_subject` as it was said, before it was merged into another"""
    relation: str
    object: int
    """0: it says a value"""
    value: str
    """JSON; empty where there is an object"""
    said_subject: int
    said_object: int
    valid_from: int
    valid_to: int
    """where it ends: as said, or where a later one begins of which only one holds at a time"""
    said_to: int
    """where it was said to end"""
    confidence: float | None
    at: int
    until: int
    """when it ceased to be known; `NEVER`: it is"""
    write: int
    """what said it"""
    made: int
    """what made this version"""
    ended: int = 0
    """what ended this version; 0: nothing has"""

    @property
    def current(self) -> bool:
        """Whether it is what is known now."""
        return self.until == NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class FactQuery:
    """Which facts of an entity."""

    entity: int
    relation: str | None = None
    direction: Direction = "out"
    as_of: int | None = None
    """those that hold then; None: whenever"""
    known_at: int | None = None
    """those that were known then; None: with `every` all that ever were, else those that are known now"""
    every: bool = False
    after: int = 0
    """versions behind this one: the next page"""
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkQuery:
    """Which facts to walk over, from which entity."""

    start: int
    hops: int
    relations: tuple[str, ...] = ()
    """none: all"""
    direction: Direction
    as_of: int
    known_at: int | None
    limit: int


class Step(NamedTuple):
    """A fact that was walked over, and where to."""

    entity: int
    hops: int
    fact: FactRow


class View(Protocol):
    """A realm inside a transaction, or a moment of it where nothing is written. All calls are of one thread.

    What a write reads it reads before its first row is added: a backend may keep rows back until the end.
    """

    now: int
    """the store's clock, read under the locks: microseconds"""

    # reading

    def done(self, key: str) -> WriteRow | None:
        """The write of that key."""
        ...

    def writes(self, ids: Sequence[int]) -> list[WriteRow]:
        """Writes by their ids."""
        ...

    def log(self, after: int, limit: int) -> list[WriteRow]:
        """Writes behind an id, in the order of their ids."""
        ...

    def entities(self, ids: Sequence[int]) -> list[EntityRow]:
        """Entities by their ids."""
        ...

    def members(self, entities: Sequence[int]) -> dict[int, list[int]]:
        """Of each: it, and all that were merged into it, directly or over others."""
        ...

    def named(self, kind: str, same: str) -> list[int]:
        """Entities that were given a name; `same` is what it has in common with those that are the same."""
        ...

    def near(self, kind: str, blocks: Sequence[str], limit: int) -> list[int]:
        """Entities whose names share blocks, those that share most first."""
        ...

    def names(self, entities: Sequence[int]) -> list[NameRow]:
        """All names that were given to these, in the order in which they were."""
        ...

    def listed(self, kind: str | None, after: int, limit: int) -> list[EntityRow]:
        """Entities behind an id that were not merged into others, in the order of their ids."""
        ...

    def facts(self, query: FactQuery) -> list[FactRow]:
        """Facts of an entity, in the order of their versions."""
        ...

    def group(self, subject: int, relation: str) -> list[FactRow]:
        """What is known now of a subject and a relation."""
        ...

    def alike(self, subject: int, relation: str, object: int, digest: str) -> list[FactRow]:
        """What is known now that says the same, whenever it holds: at most a hundred. `digest` is that of the value."""
        ...

    def versions(self, fact: int) -> list[FactRow]:
        """All versions of a fact, the oldest first."""
        ...

    def walk(self, query: WalkQuery) -> list[Step]:
        """Facts that are walked over from an entity, the nearest first; one more than `limit` where there are more."""
        ...

    # writing

    def next_write(self) -> int:
        """The id of the write that is under way."""
        ...

    def add_write(self, row: WriteRow) -> None:
        """Keep a write: the last of what it does."""
        ...

    def set_undone(self, write: int, by: int) -> None:
        """A write was undone."""
        ...

    def add_entity(self, row: EntityRow) -> int:
        """An entity, without a name; its id, whatever the row's is."""
        ...

    def add_name(self, row: NameRow, same: str, blocks: Sequence[str]) -> None:
        """A name, under which the entity is found from now on."""
        ...

    def drop_names(self, entity: int, write: int) -> None:
        """Take away the names that a write gave to an entity."""
        ...

    def point(self, entity: int, into: int) -> None:
        """Let an entity be another one; 0: itself again."""
        ...

    def move(self, said: Sequence[int], source: int, to: int) -> int:
        """Facts that were said about these, and stand at `source`, are about `to` now, or lead there; how many."""
        ...

    def add_fact(self, row: FactRow, digest: str) -> int:
        """A version; its id, whatever the row's is. A `fact` of 0 is the first version of a new one."""
        ...

    def end_fact(self, version: int, by: int) -> None:
        """It is not known any more from now on."""
        ...


class Ledger(Protocol):
    """What keeps the knowledge of all realms."""

    async def read(self, realm: Whose, function: Callable[[View], T]) -> T:
        """What `function` finds, in a thread of the ledger's."""
        ...

    async def write(self, realm: Whose, locks: Sequence[str], function: Callable[[View], T]) -> T:
        """Do what `function` does, all or nothing; it may be called more than once. On disk when it returns.

        No other write that names one of `locks` does anything between its reads and its end.
        """
        ...

    async def realms(self, tenant: str) -> list[Whose]:
        """Those of a tenant in which something is or was known."""
        ...

    async def forget(self, realm: Whose) -> int:
        """Delete all that is known in a realm; how many rows."""
        ...
