"""Where working memory is kept, by the store that keeps the journals.

SQLite, PostgreSQL ──► tables and indexes of their own; what is about a data subject: sealed, in cells
anything else      ──► cells
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from ..journal import Store
from ..memory import Origin
from ..memory.working import CellWorking, Found, Part, Passage, Query, Space, SpaceHead, Working

__all__ = ["PersonalApart", "working_of"]


def working_of(store: Store) -> Working:
    """The working memory that stands beside a store's journals."""
    inner: Store = store
    while (below := getattr(inner, "inner", None)) is not None:  # sealed, and tests wrap it once more
        inner = below
    cells = CellWorking(store)
    plain = _indexed(inner)
    return cells if plain is None else PersonalApart(plain, cells)


def _indexed(store: Store) -> Working | None:
    if store.url.startswith("sqlite:"):
        from .sqlite import SqliteStore
        from .sqlite.working import SqliteWorking

        return SqliteWorking(store) if isinstance(store, SqliteStore) else None
    if store.url.startswith(("postgresql:", "postgres:")):
        from .postgres import PostgresStore
        from .postgres.working import PostgresWorking

        return PostgresWorking(store) if isinstance(store, PostgresStore) else None
    return None


class PersonalApart:
    """A `Working` of two: `personal` for spaces of data subjects, `plain` for all others."""

    def __init__(self, plain: Working, personal: Working) -> None:
        self._plain = plain
        self._personal = personal

    def _of(self, space: Space) -> Working:
        return self._plain if space.subject is None else self._personal

    async def add(
        self,
        space: Space,
        parts: Sequence[Part],
        *,
        kind: str,
        source: str,
        origin: Origin,
        key: str,
        model: str | None = None,
        ttl: timedelta | None = None,
    ) -> str:
        """Keep a text; its id."""
        return await self._of(space).add(
            space, parts, kind=kind, source=source, origin=origin, key=key, model=model, ttl=ttl
        )

    async def search(self, space: Space, query: Query) -> list[Found]:
        """The best passages, the best first."""
        return await self._of(space).search(space, query)

    async def get(self, space: Space, id: str) -> list[Passage]:
        """The passages of a text, in order."""
        return await self._of(space).get(space, id)

    async def ls(self, space: Space, *, before: int | None = None, limit: int = 100) -> list[Passage]:
        """All passages of the `limit` newest texts."""
        return await self._of(space).ls(space, before=before, limit=limit)

    async def forget(self, space: Space, id: str, *, key: str) -> bool:
        """Take a text away for good; whether it was there."""
        return await self._of(space).forget(space, id, key=key)

    async def erase(self, tenant: str, subject: str) -> int:
        """Delete all spaces of a data subject."""
        return await self._personal.erase(tenant, subject)

    async def spaces(self, tenant: str, *, after: Space | None = None, limit: int = 100) -> list[SpaceHead]:
        """Spaces of a tenant, in the order of their keys."""
        both = [
            *await self._plain.spaces(tenant, after=after, limit=limit),
            *await self._personal.spaces(tenant, after=after, limit=limit),
        ]
        return sorted(both, key=lambda head: head.space.key)[:limit]
