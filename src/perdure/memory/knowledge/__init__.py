"""The layer *knowledge*: entities and dated facts, over years. `ledger` is the port of its backends."""

from .items import KNOWLEDGE, RETURNS, KnowledgeItems, write
from .knowledge import Knowledge
from .ledger import EntityRow, FactQuery, FactRow, Ledger, NameRow, Step, View, WalkQuery, WriteRow, digest
from .reading import known_by
from .times import ALWAYS, NEVER, When, moment, shown
from .values import (
    Candidate,
    Direction,
    Entity,
    Fact,
    Found,
    Merged,
    Named,
    Reached,
    Ref,
    Retracted,
    Said,
    Subgraph,
    Undone,
)

__all__ = [
    "ALWAYS",
    "KNOWLEDGE",
    "NEVER",
    "Candidate",
    "Direction",
    "Entity",
    "EntityRow",
    "Fact",
    "FactQuery",
    "FactRow",
    "Found",
    "RETURNS",
    "Knowledge",
    "KnowledgeItems",
    "Ledger",
    "Merged",
    "NameRow",
    "Named",
    "Reached",
    "Ref",
    "Retracted",
    "Said",
    "Step",
    "Subgraph",
    "Undone",
    "View",
    "WalkQuery",
    "When",
    "WriteRow",
    "digest",
    "known_by",
    "moment",
    "shown",
    "write",
]
