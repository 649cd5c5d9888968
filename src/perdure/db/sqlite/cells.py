"""Cells in SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ...journal import Amendment, Cell, CellKey
from ..names import after_prefix, first_name
from ..over_tenants import cells_over_tenants
from .batch import BatchWriter
from .connection import Connection, Row

__all__ = ["CellRows"]

T = TypeVar("T")

COLUMNS = "tenant, kind, name, data, due"
LIST = f"select {COLUMNS} from cells where tenant = ? and kind = ?"
ORDER = " order by tenant, kind, name limit ?"
NEXT_TENANT = "select min(tenant) from cells where tenant > ?"
# `indexed by`: a plan that cannot use its index is an error, and not a disaster that no small test shows.
DUE = f"""
    select {COLUMNS} from cells indexed by cells_due
    where kind = ? and due is not null and due <= ? order by due, tenant, name limit ?
"""
FORGET = """
    delete from cells where (tenant, kind, name) in (
        select tenant, kind, name from cells indexed by cells_due
        where kind = ? and due is not null and due < ? order by due, tenant, name limit ?)
"""


class CellRows:
    """The part of `SqliteStore` that keeps cells."""

    if TYPE_CHECKING:

        def now(self) -> int: ...  # noqa: D102  # the store's
        def _change(
            self, function: Callable[[BatchWriter], T], *, news: bool = True
        ) -> asyncio.Future[T]: ...
        async def _query(self, function: Callable[[Connection], T]) -> T: ...

    async def amend(self, amendment: Amendment, *, news: bool = False) -> Any:
        """Make one amendment, in the transaction of whatever else is written now."""
        await self._change(lambda w: w.amend((amendment,)), news=news)
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
                return (await self._query(lambda c: c.execute(NEXT_TENANT, (tenant,)).fetchall()))[0][0]

            async def page(tenant: str, after: CellKey | None, limit: int) -> list[tuple[CellKey, Cell]]:
                return await self.cells(kind, tenant=tenant, prefix=prefix, after=after, limit=limit)

            return await cells_over_tenants(following, page, after=after, limit=limit)
        first = first_name(tenant, kind, prefix, after)
        if first is None:
            return []
        sql, values = LIST, [tenant, kind]
        if first[1]:
            sql += f" and name {first[0]} ?"
            values.append(first[1])
        if (end := after_prefix(prefix)) is not None:
            sql += " and name < ?"
            values.append(end)
        sql += ORDER
        rows = await self._query(lambda c: c.execute(sql, (*values, limit)).fetchall())
        return [_cell(row) for row in rows]

    async def due_cells(self, kind: str, *, limit: int = 100) -> list[tuple[CellKey, Cell]]:
        """Cells of a kind whose `due` has come, the longest due first."""
        values = (kind, self.now(), limit)
        return [_cell(row) for row in await self._query(lambda c: c.execute(DUE, values).fetchall())]

    async def forget_cells(self, kind: str, *, before: int, limit: int = 1000) -> int:
        """Delete cells of a kind whose `due` lies before that time."""

        def run(w: BatchWriter) -> int:
            w.connection.execute(FORGET, (kind, before, limit))
            return w.connection.changes()

        return await self._change(run, news=False)


def _cell(row: Row) -> tuple[CellKey, Cell]:
    return CellKey(row[0], row[1], row[2]), Cell(row[3], row[4])
