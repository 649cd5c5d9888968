"""Pages over all tenants, of rows whose index begins with the tenant: one tenant after the other, each by that index.

A filter that leaves the tenant out would read every row there is. This takes one step in the index for each tenant, and
reads no more rows than it returns; an index of its own would be written with every row, for listings that are rare.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..journal import Cell, CellKey

__all__ = ["cells_over_tenants"]

Found = list[tuple[CellKey, Cell]]


async def cells_over_tenants(
    following: Callable[[str], Awaitable[str | None]],
    page: Callable[[str, CellKey | None, int], Awaitable[Found]],
    *,
    after: CellKey | None,
    limit: int,
) -> Found:
    """Cells of all tenants in the order of their keys, behind `after`.

    `following` gives the first tenant behind one that has any cells; `page` at most so many cells of a tenant, behind a
    key of it.
    """
    found: Found = []
    tenant = await following("") if after is None else after.tenant
    while tenant is not None and len(found) < limit:
        behind = after if after is not None and after.tenant == tenant else None
        found += await page(tenant, behind, limit - len(found))
        tenant = await following(tenant)
    return found
