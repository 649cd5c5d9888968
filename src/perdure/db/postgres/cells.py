"""Cells in PostgreSQL. How they are locked and amended stands in `locked_cells`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ...journal import Amendment, Cell, CellKey
from ..names import after_prefix, first_name
from ..over_tenants import cells_over_tenants
from .batch import BatchWriter
from .connection import Link
from .locked_cells import ChangeRaised
from .queries import NOW
from .rows import Row

__all__ = ["CellRows"]

T = TypeVar("T")

COLUMNS = "tenant, kind, name, data, due"
LIST = f"select {COLUMNS} from perdure.cells where tenant = %(tenant)s and kind = %(kind)s"
ORDER = " order by tenant, kind, name limit %(limit)s"
NEXT_TENANT = "select min(tenant) from perdure.cells where tenant > %(tenant)s"
DUE = f"""
    select {COLUMNS} from perdure.cells
    where kind = %(kind)s and due is not null and due <= {NOW} order by due, tenant, name limit %(limit)s
"""
# Past what others hold: whoever amends a cell now decides what becomes of it.
FORGET = """
    delete from perdure.cells c using (
        select tenant, kind, name from perdure.cells
        where kind = %(kind)s and due is not null and due < %(before)s order by due, tenant, name
        limit %(limit)s for update skip locked
    ) as old
    where c.tenant = old.tenant and c.kind = old.kind and c.name = old.name
    returning c.tenant, c.kind, c.name
"""


class CellRows:
    """The part of `PostgresStore` that keeps cells."""

    if TYPE_CHECKING:

        def _values(self, **values: Any) -> dict[str, Any]: ...
        def _change(
            self,
            function: Callable[[BatchWriter], T],
            *,
            news: bool = True,
            cells: Sequence[CellKey] = (),
        ) -> asyncio.Future[T]: ...
        async def _query(self, function: Callable[[Link], T]) -> T: ...

    async def amend(self, amendment: Amendment, *, news: bool = False) -> Any:
        """Make one amendment, in the transaction of whatever else is written now."""

        def run(w: BatchWriter) -> Exception | None:
            # Handed out and not raised: nothing was sent yet, so the batch need not be taken back.
            try:
                w.cells.amend((amendment,))
            except ChangeRaised as raised:
                return raised.error
            return None

        error = await self._change(run, news=news, cells=amendment.keys)
        if error is not None:
            raise error
        return amendment.result

    async def cells(
        self,
        kind: str,
        *,
        tenant: str | None = None,
        prefix: str = "",
        after: CellKey | None = None,
        limit: int = 1000,
    ) -> list[tuple[CellKey, Cell]]:
        """Cells of a kind, in the order of their keys."""
        if tenant is None:

            async def following(tenant: str) -> str | None:
                values = self._values(tenant=tenant)
                return (await self._query(lambda c: c.execute(NEXT_TENANT, values).fetchall()))[0][0]

            async def page(tenant: str, after: CellKey | None, limit: int) -> list[tuple[CellKey, Cell]]:
                return await self.cells(kind, tenant=tenant, prefix=prefix, after=after, limit=limit)

            return await cells_over_tenants(following, page, after=after, limit=limit)
        first = first_name(tenant, kind, prefix, after)
        if first is None:
            return []
        sql, values = LIST, self._values(tenant=tenant, kind=kind, limit=limit)
        if first[1]:
            sql += f" and name {first[0]} %(first)s"
            values["first"] = first[1]
        if (end := after_prefix(prefix)) is not None:
            sql += " and name < %(end)s"
            values["end"] = end
        sql += ORDER
        return [_cell(row) for row in await self._query(lambda c: c.execute(sql, values).fetchall())]

    async def due_cells(self, kind: str, *, limit: int = 100) -> list[tuple[CellKey, Cell]]:
        """Cells of a kind whose `due` has come, the longest due first."""
        values = self._values(kind=kind, limit=limit)
        return [_cell(row) for row in await self._query(lambda c: c.execute(DUE, values).fetchall())]

    async def forget_cells(self, kind: str, *, before: int, limit: int = 1000) -> int:
        """Delete cells of a kind whose `due` lies before that time."""
        values = {"kind": kind, "before": before, "limit": limit}

        def run(w: BatchWriter) -> int:
            w.cells.flush()
            keys = [CellKey(*row) for row in w.link.execute(FORGET, values).fetchall()]
            w.cells.gone(keys)
            return len(keys)

        return await self._change(run, news=False)


def _cell(row: Row) -> tuple[CellKey, Cell]:
    return CellKey(row[0], row[1], row[2]), Cell(row[3], row[4])
