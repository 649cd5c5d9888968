"""How MCP servers are, as the worker that used one last found it: cells that everybody sees.

Written where it changes, not with each call. What a program has said to its standard error is kept beside it, for
people: no journal has it, and no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pydantic_core
from pydantic import BaseModel, ConfigDict

from ..journal import Amendment, Cell, CellKey, Store

__all__ = ["Standing", "Standings"]

KIND = "mcp_standing"
_FORGOTTEN = 30 * 86_400 * 1_000_000
"""Microseconds after which a server that nobody uses is told of no more."""

State = Literal["good", "lost"]


class Standing(BaseModel):
    """How one server is."""

    model_config = ConfigDict(frozen=True)

    server: str
    state: State
    """`lost`: it could not be started, or went in the middle; it is started again when it is needed"""
    why: str = ""
    said: str = ""
    """the last that it has written to its standard error"""
    at: int
    """microseconds, the store's clock: since when"""


class Standings:
    """Those of a store. Holds no state of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def note(self, tenant: str, server: str, state: State, *, why: str = "", said: str = "") -> None:
        """Tell how a server is now."""
        key = CellKey(tenant, KIND, server)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            told = Standing(server=server, state=state, why=why[:500], said=said[-2000:], at=now)
            return {key: Cell(pydantic_core.to_json(told), now + _FORGOTTEN)}, None

        await self._store.amend(Amendment((key,), change))

    async def ls(self, tenant: str | None) -> dict[str, Standing]:
        """By server, of a tenant, or of all."""
        found: dict[str, Standing] = {}
        after: CellKey | None = None
        now = self._store.now()
        while True:
            page = await self._store.cells(KIND, tenant=tenant, after=after)
            for _, cell in page:
                if cell.due is None or cell.due > now:
                    standing = Standing.model_validate_json(cell.data)
                    found[standing.server] = standing
            if not page:
                return found
            after = page[-1][0]
