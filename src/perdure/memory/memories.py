"""Which backend keeps which layer of memory, as an app has chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..journal import Store
from .port import Sessions
from .sessions import CellSessions

__all__ = ["Memories"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memories:
    """The layers, each made of the store that keeps a run's journal: a rehearsal on a store of its own disturbs none.

    A backend of its own pays no heed to that store.
    """

    sessions: Callable[[Store], Sessions] = CellSessions
    """conversations and cases"""
