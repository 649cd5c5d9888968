"""The files of a version of policies, kept beside the runs that are judged by it: a cell, under its digest."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import pydantic_core

from ...core.errors import ConfigError
from ...journal import Amendment, Cell, CellKey, CellStore

__all__ = ["KIND", "keep", "kept"]

KIND = "policies"
"""of the cells"""


async def keep(store: CellStore, tenant: str, digest: str, files: bytes) -> None:
    """Put a version where every worker finds it."""
    key = CellKey(tenant, KIND, digest)
    data = pydantic_core.to_json({"files": base64.b64encode(files).decode()})

    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        return ({} if key in cells else {key: Cell(data)}), None

    await store.amend(Amendment([key], change))


async def kept(store: CellStore, tenant: str, digest: str) -> bytes | None:
    """The files of a version; None: they are not there. Raises `ConfigError` where they cannot be read."""
    cells = await store.cells(KIND, tenant=tenant, prefix=digest, limit=1)
    if not cells:
        return None
    try:
        return base64.b64decode(pydantic_core.from_json(cells[0][1].data)["files"])
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise ConfigError(f"version `{digest[:12]}` of the policies cannot be read: {error}") from error
