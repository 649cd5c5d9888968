"""What agents remember, and what people decide about it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .base import Asked, Json, Moment, Told

__all__ = [
    "CarriedOut",
    "Restore",
    "SpreadOut",
    "Decide",
    "Forget",
    "Forgotten",
    "ItemExplained",
    "ItemName",
    "ItemOut",
    "ProposalOut",
    "ReadOut",
    "RecallOut",
    "Withdraw",
    "Withdrawn",
    "WithdrawnOut",
    "WriterOut",
]

ItemName = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]
"""`RUN/STEP`: the write that put the item there."""


class WithdrawnOut(Told):
    """What no run recalls until somebody restores it."""

    target: str = Field(examples=["mail-17", "mail-17/session_append"])
    """a run, or one write of it"""
    by: str
    why: str
    at: Moment


class ItemOut(Told):
    """What one write has put into a layer of memory."""

    id: str = Field(examples=["mail-17/session_append"])
    """`RUN/STEP`"""
    layer: str
    kind: str
    place: str
    """where in the layer: a session, a place in it"""
    subject: str | None
    """the data subject that it is about"""
    agent: str | None
    """the only agent that reads it; null: all of the tenant's"""
    content: Json
    """null for those who may not see what calls were given and returned"""
    at: Moment
    run: str
    step: str
    labels: list[str]
    """of what its run had read by then"""
    withdrawn: WithdrawnOut | None


class ProposalOut(Told):
    """A write that was held back until a person accepts it."""

    id: str
    layer: str
    tool: str
    arguments: Json
    """null for those who may not see what calls were given and returned"""
    subject: str | None
    agent: str | None
    run: str
    step: str
    labels: list[str]
    at: Moment
    state: Literal["waits", "accepted", "rejected"]
    by: str | None
    """who decided"""
    why: str


class WriterOut(Told):
    """The run that wrote an item."""

    id: str
    agent: str
    version: str
    status: str
    started_by: str | None


class ReadOut(Told):
    """A step in which that run had been told something before."""

    step: str
    at: Moment
    recalled: list[str]
    """items of memory"""
    labels: list[str]


class RecallOut(Told):
    """A run that was handed the item since."""

    run: str
    agent: str
    step: str
    at: Moment
    rank: int
    """from 1"""
    score: float | None
    """null: it was asked for by its name or place"""


class ItemExplained(Told):
    """Why an item is there, and what has become of it."""

    id: str
    item: ItemOut | None
    """null: it is in no layer"""
    proposal: ProposalOut | None
    withdrawn: WithdrawnOut | None
    run: WriterOut | None
    tool: str | None
    read: list[ReadOut]
    recalls: list[RecallOut]
    looked: int
    """runs whose journals were looked through for recalls, the newest"""
    complete: bool
    """whether those were all"""


class CarriedOut(Told):
    """A write of a run that had been handed, directly or over others, what the first has written."""

    id: str
    agent: str
    tool: str
    over: str
    """the item that it had been handed before, first"""
    at: Moment


class SpreadOut(Told):
    """How far what a run has written has spread."""

    runs: list[str]
    """that were handed something of it"""
    writes: list[CarriedOut]
    looked: int
    """runs whose journals were looked through, the newest"""
    complete: bool


class Restore(Asked):
    """A run, or one write of it, whose items are to be recalled again."""

    target: ItemName = Field(examples=["mail-17"])
    why: str = Field(default="", max_length=1000)


class Withdraw(Asked):
    """A run, or one write of it, whose items are to be withdrawn."""

    target: ItemName = Field(examples=["mail-17"])
    why: str = Field(default="", max_length=1000)
    spread: bool = Field(default=False, strict=True)
    """of a run: also what runs have written that had been handed it before; `restore` brings back one by one"""


class Withdrawn(Told):
    """No run recalls it any more, or every run does again."""

    fresh: bool
    """false: it was so already"""
    further: list[str] = Field(default_factory=list[str])
    """with `spread`: the writes behind it that were withdrawn, too"""


class Decide(Asked):
    """A proposal that somebody accepts or rejects."""

    item: ItemName
    why: str = Field(default="", max_length=1000)


class Forget(Asked):
    """A data subject about whom nothing is to be remembered."""

    subject: str = Field(min_length=1, max_length=300)


class Forgotten(Told):
    """It is gone for good."""

    items: int
