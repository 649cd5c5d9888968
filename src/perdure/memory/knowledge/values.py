"""What is known: entities, dated facts about them, and what was found when somebody looked.

A fact has two times. *Valid* time says when it holds in the world (`valid_from` to `valid_to`, the end not included;
None: nobody said). *Recorded* time says when it was known here (`at` to `until`). So two questions can be told apart:
who Ann worked for in May (`as_of`), and who we believed in May that she worked for (`known_at`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from ..port import Origin

__all__ = [
    "Candidate",
    "Direction",
    "Entity",
    "Fact",
    "Found",
    "Merged",
    "Named",
    "Reached",
    "Ref",
    "Retracted",
    "Said",
    "Subgraph",
    "Undone",
]

Direction: TypeAlias = Literal["out", "in", "both"]
"""Of a fact as seen from an entity: it is its subject, its object, or either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """An entity as facts name it."""

    id: int
    kind: str
    name: str
    origin: Origin
    """of its name: whoever reads the name has read that"""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """Somebody or something that facts are about."""

    id: int
    kind: str
    """`person`, `company`, whatever the program says"""
    name: str
    aliases: tuple[str, ...]
    """other names under which it is found"""
    merged: tuple[int, ...] = ()
    """ids of what were taken for others and turned out to be this one"""
    at: int
    """when it was first named: microseconds, the store's clock"""
    origin: Origin

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One version of a fact: what it says, since when, until when, and how we know."""

    id: int
    """the same for all versions of a fact"""
    version: int
    """another for each; the first has the fact's own id"""
    subject: Ref
    relation: str
    object: Ref | None
    """the entity that it leads to; None: it says a value"""
    value: Any = None
    """JSON"""
    valid_from: datetime | None
    valid_to: datetime | None
    confidence: float | None
    """0 to 1, as whoever said it said; None: nothing"""
    at: int
    """since when it is known here: microseconds, the store's clock"""
    until: int | None
    """until when it was; None: it still is"""
    write: int
    """what said it, for `undo`"""
    origin: Origin
    contradicts: tuple[int, ...] = ()
    """ids of facts found with it that cannot hold at the same time"""

    def __str__(self) -> str:
        says = self.object.name if self.object is not None else str(self.value)
        dates = [
            f"{word} {time:%Y-%m-%d}"
            for word, time in (("from", self.valid_from), ("until", self.valid_to))
            if time is not None
        ]
        return f"{self.subject.name} {self.relation} {says}" + (f" ({', '.join(dates)})" if dates else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An entity that may be the one that is meant."""

    entity: Entity
    name: str
    """that of its names which comes nearest"""
    similarity: float
    """0 to 1; 1: the very name, and several entities have it"""
    facts: tuple[Fact, ...] = ()
    """some that hold now, to tell them apart"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is known under a name."""

    entity: Entity | None
    """the only one of that very name, but for case, accents' encoding, punctuation and spaces"""
    candidates: tuple[Candidate, ...] = ()
    """where there is none: those that it may be, the likeliest first"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What came of naming an entity."""

    entity: Entity | None
    """None: several have that very name, and nothing was written"""
    new: bool
    """nobody had that name before"""
    write: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came of saying something."""

    fact: int
    new: bool
    """False: the very same was known, under the same labels"""
    dated: tuple[int, ...] = ()
    """facts that end, or begin to end, where this one or they begin, as only one of them holds at a time"""
    contradicts: tuple[int, ...] = ()
    """facts that cannot hold at the same time as this one; all are kept"""
    write: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retracted:
    """What came of taking a fact back. All its versions can still be read."""

    fact: int
    done: bool
    """False: it was not known any more"""
    dated: tuple[int, ...] = ()
    """facts that do not end any more where it began"""
    write: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What came of saying that two entities are one."""

    into: int
    """the one that both are now"""
    moved: int
    """facts that are about that one now"""
    dated: tuple[int, ...] = ()
    write: int
    """for `undo`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What came of undoing a write."""

    undid: str
    """`say`, `retract`, `entity`, `alias`, `merge`; empty: it was undone already"""
    facts: tuple[int, ...] = ()
    """that were changed"""
    write: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """An entity that was reached."""

    entity: Ref
    hops: int
    """over how many facts, at least; of the start 0"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subgraph:
    """What can be reached from an entity, with the facts that lead there."""

    entities: tuple[Reached, ...]
    """the nearest first, beginning with the start"""
    facts: tuple[Fact, ...]
    """each that was walked over, the nearest first"""
    cut: bool
    """there was more than `limit` allows"""
