"""What an alert is: one for each kind and each thing that it is about, however often that happens."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import pydantic_core

from ...core.ids import new_id
from ...journal import Cell, CellKey

__all__ = ["KIND", "Alert", "Occurrence"]

KIND = "alert"
"""Of the cells with the alerts that are open; they are called `KIND/ABOUT`."""

RUNS = 10
CAUSES = 50
"""so many are kept of each alert, the latest"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """Something that people are to hear of."""

    kind: str
    tenant: str
    about: str
    """what it is about, so that the same is one alert: an agent, a budget"""
    subject: str
    """one line"""
    why: str = ""
    runs: tuple[str, ...] = ()
    """those that it concerns, the latest last"""
    count: int = 1
    """of a condition: how many runs it concerns now"""
    cause: str | None = None
    """what it is that has happened, to be counted once; None: it is a condition, which holds until it does not"""

    @property
    def key(self) -> CellKey:
        """Of the cell."""
        name = f"{self.kind}/{self.about}".replace("\0", "")
        if len(name.encode()) > 900:
            name = f"{self.kind}/{hashlib.sha256(name.encode()).hexdigest()}"
        return CellKey(self.tenant, KIND, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert that is open, or acknowledged and not over. Times are microseconds on the store's clock."""

    id: str
    kind: str
    tenant: str
    about: str
    subject: str
    why: str
    runs: tuple[str, ...] = ()
    count: int = 1
    """how often it has happened; of a condition, how many runs it concerns"""
    state: Literal["open", "acknowledged"] = "open"
    first: int = 0
    last: int = 0
    told: int = 0
    """how often people were told"""
    told_at: int = 0
    told_count: int = 0
    by: str | None = None
    """who has acknowledged it"""
    note: str = ""
    notice: str | None = None
    """the cell of the notice that was written last"""
    causes: tuple[str, ...] | None = None
    """what was counted, the latest; None: it is a condition"""

    @classmethod
    def new(cls, seen: Occurrence, now: int) -> Alert:
        """The first occurrence."""
        return cls(
            id=f"al-{new_id()[:12]}",
            kind=seen.kind,
            tenant=seen.tenant,
            about=seen.about,
            subject=seen.subject,
            why=seen.why[:2000],
            runs=seen.runs[-RUNS:],
            count=seen.count,
            first=now,
            last=now,
            causes=None if seen.cause is None else (seen.cause,),
        )

    def with_another(self, seen: Occurrence, now: int) -> Alert:
        """Another occurrence, or how the condition stands now; itself where nothing is new."""
        if seen.cause is None:
            same = (seen.count, seen.subject, seen.runs[-RUNS:]) == (self.count, self.subject, self.runs)
            if same:
                return self
            return replace(self, count=seen.count, subject=seen.subject, runs=seen.runs[-RUNS:], last=now)
        causes = self.causes or ()
        if seen.cause in causes:
            return self
        runs = (*(r for r in self.runs if r not in seen.runs), *seen.runs)[-RUNS:]
        return replace(
            self,
            count=self.count + 1,
            subject=seen.subject,
            why=seen.why[:2000],
            runs=runs,
            last=now,
            causes=(*causes, seen.cause)[-CAUSES:],
        )

    @property
    def key(self) -> CellKey:
        """Of the cell."""
        return Occurrence(kind=self.kind, tenant=self.tenant, about=self.about, subject="").key

    @classmethod
    def of(cls, key: CellKey, cell: Cell) -> Alert:
        """From its cell; what a later release says beside is left out."""
        told: dict[str, Any] = pydantic_core.from_json(cell.data)
        known: dict[str, Any] = {name: told[name] for name in cls.__dataclass_fields__ if name in told}
        known["runs"] = tuple(known.get("runs") or ())
        if known.get("causes") is not None:
            known["causes"] = tuple(known["causes"])
        known["tenant"] = key.tenant
        return cls(**known)

    def data(self) -> bytes:
        """As it is kept."""
        return pydantic_core.to_json(asdict(self))
