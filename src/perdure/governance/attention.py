"""How much is asked of one person: requests to, and answers of, each in the last hour, over all runs of a tenant.

Whoever has to approve too much approves without reading. What is more than `most` is held back: the request goes to
the next in its route, the answer does not count yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pydantic_core

from ..journal import Amendment, Cell, CellKey

__all__ = ["HOUR_MICROS", "counted"]

HOUR_MICROS = 3_600_000_000
_KIND = "approver"


def counted(tenant: str, person: str, what: Literal["asked", "answered"], ident: str, most: int) -> Amendment:
    """Count a request or an answer, once for each `ident`.

    The amendment's result is None where it is within `most`; else nothing was counted, and it is the time at which
    there is room again (microseconds, the store's clock).
    """
    key = CellKey(tenant, _KIND, person.encode()[:900].decode(errors="ignore").replace("\0", ""))

    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], int | None]:
        cell = cells.get(key)
        told: dict[str, dict[str, int]] = {} if cell is None else pydantic_core.from_json(cell.data)
        recent = {k: at for k, at in told.get(what, {}).items() if at > now - HOUR_MICROS}
        if ident in recent:
            return {}, None
        if len(recent) >= most:
            return {}, min(recent.values()) + HOUR_MICROS
        kept: dict[str, Any] = {**told, what: {**recent, ident: now}}
        return {key: Cell(pydantic_core.to_json(kept), now + HOUR_MICROS)}, None

    return Amendment((key,), change)
