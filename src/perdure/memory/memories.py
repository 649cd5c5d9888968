"""Which backend keeps which layer of memory, as an app has chosen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from ..core.errors import ConfigError
from ..core.settings import shown_url
from ..journal import Store
from .knowledge import Knowledge, KnowledgeItems, Ledger
from .port import Sessions
from .remembered import Remembered
from .session_items import SESSION, SessionItems
from .sessions import CellSessions
from .working import WORKING, CellWorking, Working, WorkingItems

__all__ = ["Memories", "ledger_of"]


def ledger_of(store: Store) -> Ledger:
    """What keeps knowledge beside the journals. Raises `ConfigError` where the store does not."""
    ledger = getattr(
        store, "ledger", None
    )  # no part of the port: what keeps journals need not keep knowledge
    if ledger is None:
        raise ConfigError(
            f"the store `{shown_url(store.url)}` keeps no knowledge: name what does under `[memory] knowledge`"
        )
    return ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Memories:
    """The layers, each made of the store that keeps a run's journal: a rehearsal on a store of its own disturbs none.

    A backend of its own pays no heed to that store.
    """

    sessions: Callable[[Store], Sessions] = CellSessions
    """conversations and cases"""
    working: Callable[[Store], Working] = CellWorking
    """what matters to a run now"""
    embeddings: str | None = None
    """the model that says what texts of the working memory mean; None: they are found by their words alone"""
    knowledge: Callable[[Store], Knowledge] = lambda store: Knowledge(ledger_of(store))
    """dated facts about people and things"""
    knowledge_in_store: bool = True
    """or on a server of its own; a store of somebody's own need not keep any"""
    review: Literal["none", "untrusted", "all"] = "none"
    """which writes wait for a person"""
    shared: Mapping[str, Collection[str]] = field(default_factory=dict[str, "Collection[str]"])
    """by agents: who else reads what is theirs alone"""
    retention: Mapping[str, timedelta] = field(default_factory=dict[str, timedelta])
    """by layers: how long what is written is kept at most"""

    def reviews(self, labels: Collection[str]) -> bool:
        """Whether a write under these labels waits for a person."""
        return self.review == "all" or (self.review == "untrusted" and "untrusted" in labels)

    def shares(self, agent: str | None, reader: str) -> bool:
        """Whether a reader may read what is that agent's own."""
        return agent in (None, reader) or reader in self.shared.get(agent, ())

    def remembered(self, store: Store) -> list[Remembered]:
        """The layers, before those who govern them; without knowledge where the store keeps none."""
        layers: list[Remembered] = [
            SessionItems(self.sessions(store), most=self.retention.get(SESSION)),
            WorkingItems(self.working(store), most=self.retention.get(WORKING)),
        ]
        if not self.knowledge_in_store or getattr(store, "ledger", None) is not None:
            layers.append(KnowledgeItems(self.knowledge(store)))
        return layers
