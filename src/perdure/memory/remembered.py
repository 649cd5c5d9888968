"""The port by which people govern what agents remember, over all layers alike.

An item is what one write has put into a layer. Its name is the write: the run and the step that are its origin, so the
same name stands in the journal of the run that wrote it, in those of the runs that recalled it, and on what people
decide about it. A layer answers for its items; what was withdrawn stands beside the layers (`Holds`), and what waits
for a review is in none of them yet (`Proposals`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from .port import Origin

__all__ = [
    "REVIEWED",
    "DoneWrite",
    "Item",
    "ItemPage",
    "ItemQuery",
    "ProposedWrite",
    "Remembered",
    "Whose",
    "item_id",
]


REVIEWED = "reviewed"
"""The label of an item that a person has accepted. It says nothing of what is made of it, so no run hands it on."""


class Whose(NamedTuple):
    """Whose an item is."""

    tenant: str
    subject: str | None = None
    """the data subject; None: of no person in particular"""
    agent: str | None = None
    """the only agent that reads it; None: all of the tenant's"""


def item_id(origin: Origin) -> str:
    """The name of what that write has put into memory: `RUN/STEP`."""
    return f"{origin.run}/{origin.step}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What one write has put into a layer."""

    layer: str
    """`session`, `working`, `knowledge`"""
    kind: str
    """`message`, `value`, `summary`, `note`, `fact`, whatever the layer has"""
    whose: Whose
    place: str
    """where in the layer, for people: `case-17`"""
    content: Any
    """JSON"""
    at: int
    """microseconds, the store's clock"""
    origin: Origin

    @property
    def id(self) -> str:
        """`RUN/STEP`."""
        return item_id(self.origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemQuery:
    """Which items. What is not said does not matter."""

    tenant: str
    subject: str | None = None
    run: str | None = None
    """written by that run"""
    step: str | None = None
    """and in that step"""
    place: str | None = None
    """where a layer need look alone, as its writes say: the session"""
    agent: str | None = None
    """with `place`: whose own it may be"""
    text: str = ""
    """what stands in it, whatever the case"""
    label: str | None = None
    after: str = ""
    """`ItemPage.next` of the page before"""
    limit: int = 100
    look: int = 5000
    """so many items are looked at for one page, at most about"""

    def takes(self, item: Item) -> bool:
        """Whether an item is asked for."""
        return (
            (self.subject is None or item.whose.subject == self.subject)
            and (self.run is None or item.origin.run == self.run)
            and (self.step is None or item.origin.step == self.step)
            and (self.label is None or self.label in item.origin.labels)
            and (not self.text or self.text.casefold() in _text(item).casefold())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPage:
    """Items, and where to go on."""

    items: list[Item]
    next: str = ""
    """empty: there are no more"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedWrite:
    """A write that was held back: what it would have done, to be done when somebody accepts it."""

    layer: str
    whose: Whose
    tool: str
    """`session_append`, as policies know it"""
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """JSON"""
    origin: Origin
    key: str
    """under which the layer does it once"""

    def reviewed(self) -> ProposedWrite:
        """As it is done when somebody has accepted it."""
        labels = tuple(sorted({*self.origin.labels, REVIEWED}))
        return replace(self, origin=replace(self.origin, labels=labels))


class DoneWrite(NamedTuple):
    """A write of a run, as its journal has it."""

    tool: str
    arguments: Mapping[str, Any]


class Remembered(Protocol):
    """What a layer answers to those who govern it. Whoever implements it needs no more than its own backend."""

    layer: str

    async def items(self, query: ItemQuery) -> ItemPage:
        """Items, in an order of the layer's own. A page may be empty and not the last."""
        ...

    async def accept(self, proposed: ProposedWrite) -> None:
        """Do a write that was held back, once. Raises `VersionConflict` where it cannot be done any more."""
        ...

    async def withdraw(self, tenant: str, run: str, step: str | None, *, why: str) -> None:
        """Take back what a run's writes (or the one in that step) have changed of what others wrote.

        What they made themselves is held already, and is left as it is. Done twice it is done once.
        """
        ...

    async def restore(
        self, tenant: str, run: str, step: str | None, *, writes: Mapping[str, DoneWrite]
    ) -> None:
        """Do again what `withdraw` took back. `writes`: those of the run, by their steps, as its journal has them."""
        ...

    async def forget(self, tenant: str, subject: str) -> int:
        """Delete all that is remembered about a data subject, of all agents; how many items. For good."""
        ...


def _text(item: Item) -> str:
    content = item.content
    return f"{item.place} {content if isinstance(content, str) else _plain(content)}"


def _plain(content: Any) -> str:
    import json

    return json.dumps(content, ensure_ascii=False)
