"""The cells of a store that seals: a person's are opened before they are looked at or changed, and sealed behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.errors import StoreSealed, SubjectErased
from ...journal import Amendment, Cell, CellKey, Store
from .amendments import KeyNeeded, opened, personal, sealed_amendment
from .keys import SubjectKeys
from .marks import PERSONAL, sealed_cell

if TYPE_CHECKING:
    from .form import SubjectKey

__all__ = ["SealedCells"]


class SealedCells:
    """The part of `SealedStore` that keeps cells."""

    inner: Store
    keys: SubjectKeys

    async def amend(self, amendment: Amendment, *, news: bool = False) -> Any:
        """Make one amendment, of sealed cells as if they were not."""
        if not personal(amendment):
            return await self.inner.amend(amendment, news=news)
        keys: dict[tuple[str, str], SubjectKey | None] = {}
        while True:
            try:
                return await self.inner.amend(sealed_amendment(amendment, keys, amendment.subject), news=news)
            except KeyNeeded as needed:
                where = needed.tenant, needed.subject
                if where in keys:
                    raise SubjectErased(f"the data of `{needed.subject}` was erased") from None
                keys[where] = await self.keys.find(*where)

    async def cells(
        self,
        kind: str,
        *,
        tenant: str | None = None,
        prefix: str = "",
        after: CellKey | None = None,
        limit: int = 1000,
    ) -> list[tuple[CellKey, Cell]]:
        """Cells of a kind, in the order of their keys, without those that nobody can read any more."""
        found = await self.inner.cells(kind, tenant=tenant, prefix=prefix, after=after, limit=limit)
        return await self._opened_cells(kind, found)

    async def due_cells(self, kind: str, *, limit: int = 100) -> list[tuple[CellKey, Cell]]:
        """Cells of a kind whose `due` has come, the longest due first."""
        return await self._opened_cells(kind, await self.inner.due_cells(kind, limit=limit))

    async def _opened_cells(self, kind: str, found: list[tuple[CellKey, Cell]]) -> list[tuple[CellKey, Cell]]:
        if kind not in PERSONAL:
            return found
        keys: dict[tuple[str, str], SubjectKey | None] = {}
        plain: list[tuple[CellKey, Cell]] = []
        for key, cell in found:
            try:
                read, _ = opened(key, cell, keys)
            except KeyNeeded as needed:
                where = needed.tenant, needed.subject
                try:
                    keys[where] = await self.keys.find(*where)
                except StoreSealed:
                    keys[where] = None
                read, _ = opened(key, cell, keys)
            if read is not None:
                plain.append((key, read))
        return plain

    async def forget_person(self, tenant: str, subject: str) -> None:
        """Delete the cells that hold a person's data; without the key nobody could read them."""
        for kind in sorted(PERSONAL):
            after: CellKey | None = None
            while page := await self.inner.cells(kind, tenant=tenant, after=after, limit=500):
                after = page[-1][0]
                mine = [
                    key for key, cell in page if (found := sealed_cell(cell.data)) and found[0] == subject
                ]
                if mine:
                    gone = dict.fromkeys(mine)
                    await self.inner.amend(Amendment(mine, lambda _cells, _now, gone=gone: (gone, None)))
