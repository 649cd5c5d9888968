"""The versions of policies that runs began with, kept beside the runs: a cell each, under its digest."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pydantic_core

from ...core.errors import ConfigError
from ...journal import Amendment, Cell, CellKey, CellStore
from .book import PolicyBook

__all__ = ["KIND", "Shelf"]

KIND = "policies"
"""of the cells"""


class Shelf:
    """The versions that a worker has at hand. The current one is the app's; None: it has no policies."""

    def __init__(self, store: CellStore, current: PolicyBook | None) -> None:
        self._store = store
        self.current = current
        self._kept: set[tuple[str, str]] = set()
        self._read: dict[tuple[str, str], PolicyBook | str] = {}

    async def keep(self, tenant: str) -> None:
        """Put the current version where every worker finds it, before a run of the tenant begins with it."""
        book = self.current
        if book is None or (tenant, book.digest) in self._kept:
            return
        key = CellKey(tenant, KIND, book.digest)
        data = pydantic_core.to_json({"files": base64.b64encode(book.kept()).decode()})

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            return ({} if key in cells else {key: Cell(data)}), None

        await self._store.amend(Amendment([key], change))
        self._kept.add((tenant, book.digest))

    async def find(self, tenant: str, digest: str) -> PolicyBook | str:
        """The version of that digest; or, in words, why it is not to be had: then nothing is permitted."""
        if self.current is not None and self.current.digest == digest:
            return self.current
        found = self._read.get((tenant, digest))
        if found is None:
            found = await self._fetched(tenant, digest)
            if isinstance(found, PolicyBook):
                self._read[tenant, digest] = found
        return found

    async def _fetched(self, tenant: str, digest: str) -> PolicyBook | str:
        cells = await self._store.cells(KIND, tenant=tenant, prefix=digest, limit=1)
        if not cells:
            return f"the policies with which the run began (version `{digest[:12]}`) are not in the store"
        agents, tools = ((), ()) if self.current is None else self.current.forms()
        try:
            kept = base64.b64decode(pydantic_core.from_json(cells[0][1].data)["files"])
            return PolicyBook.read(kept, digest, agents=agents, tools=tools)
        except (ConfigError, ValueError, KeyError, TypeError) as error:
            return f"the policies with which the run began cannot be read: {error}"
