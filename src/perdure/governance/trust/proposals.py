"""Wider rings that somebody has proposed, and nobody has signed yet: the last one of each agent and action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic_core

from ...journal import Amendment, Cell, CellKey, Store
from .records import TrustChange, head_key

__all__ = ["Proposals"]

KIND = "trust_proposal"
"""of the cells"""


class Proposals:
    """The proposals of a store. What counts is the signature over one: who changes a cell only spoils it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def keep(self, change: TrustChange) -> None:
        """Put it where whoever is to sign finds it, in place of the one before."""
        key = _key(change.tenant, change.agent, change.action)
        data = pydantic_core.to_json(change.told())

        def write(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            return {key: Cell(data)}, None

        await self._store.amend(Amendment([key], write))

    async def find(self, tenant: str, agent: str, action: str) -> TrustChange | None:
        """What is proposed for an agent and an action."""
        key = _key(tenant, agent, action)
        for found, cell in await self._store.cells(KIND, tenant=tenant, prefix=key.name, limit=1):
            if found == key:
                return TrustChange.of(pydantic_core.from_json(cell.data))
        return None

    async def ls(self, tenant: str) -> list[TrustChange]:
        """All of a tenant; at most 1,000."""
        page = await self._store.cells(KIND, tenant=tenant)
        return [TrustChange.of(pydantic_core.from_json(cell.data)) for _, cell in page]

    async def drop(self, tenant: str, agent: str, action: str) -> None:
        """It was signed, or is not wanted any more."""
        key = _key(tenant, agent, action)
        await self._store.amend(
            Amendment([key], lambda cells, now: ({key: None} if key in cells else {}, None))
        )


def _key(tenant: str, agent: str, action: str) -> CellKey:
    return CellKey(tenant, KIND, head_key(tenant, agent, action).name)
