"""A new master key: what the old one has sealed is sealed anew, so that the old one can go.

    new key in front of the old, everywhere ─► perdure vault rotate ─► old key away

Grants stay as they are: only the keys of their users are wrapped anew, a few dozen bytes each. It may be stopped and
begun again at any time, beside workers that go on.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core

from ..identity import MasterKeys
from ..journal import Amendment, Cell, CellKey
from .grants import USER_KEY
from .sealed import user_context
from .secrets import reseal_secret, sealed_path
from .vault import Vault

__all__ = ["Rotated", "rotate"]


@dataclass(frozen=True, slots=True)
class _Wrapped:
    """Cells that hold a key which is sealed under a master key."""

    what: str
    kind: str
    member: str
    """of the cell's JSON: the sealed key, in base64"""
    context: Callable[[str, str], str]
    """what it is bound to, by the cell's tenant and name"""


CELLS = (
    _Wrapped("users", USER_KEY, "wrapped", user_context),
    _Wrapped("people", "subject_key", "sealed", lambda tenant, name: f"data subject|{tenant}|{name}"),
)
"""All kinds there are: the keys of users' grants, and those of the people whose data runs handle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What was sealed anew."""

    current: str
    """the id of the master key that seals now"""
    others: tuple[str, ...]
    """of those under which nothing is sealed any more"""
    done: Mapping[str, int]
    """how many keys, by whose they are"""


async def rotate(
    vault: Vault,
    *,
    files: Mapping[str, Callable[[MasterKeys], int]] | None = None,
    tell: Callable[[int], None] = lambda done: None,
) -> Rotated:
    """Seal anew what is not sealed under the current master key.

    `files` seal anew what is kept elsewhere, by whose it is, and say how much that was. `tell` hears how many cells are
    done.
    """
    master = vault.master.read()
    done = {cells.what: 0 for cells in CELLS}
    # Once more than there seems to be something to do: a worker may have made a key under the old one meanwhile.
    while True:
        before = sum(done.values())
        for cells in CELLS:
            async for key, cell in vault.keeping.pages(cells.kind):
                if _stale(cells, key, cell, master) is not None:
                    done[cells.what] += await _wrap_anew(vault, cells, key, master)
                    tell(sum(done.values()))
        if sum(done.values()) == before:
            break
    for what, reseal in (files or {}).items():
        done[what] = reseal(master)
    done["secrets"] = 0
    for name, settings in vault.providers.items():
        path = sealed_path(name, settings)
        done["secrets"] += path is not None and reseal_secret(name, path, master)
    current, *others = master.ids
    return Rotated(current=current, others=tuple(others), done=done)


def _stale(cells: _Wrapped, key: CellKey, cell: Cell, master: MasterKeys) -> dict[str, Any] | None:
    told: dict[str, Any] = pydantic_core.from_json(cell.data)
    sealed = told.get(cells.member)  # a key that was destroyed may have left a stone
    return None if sealed is None or master.is_current(b64decode(sealed)) else told


async def _wrap_anew(vault: Vault, cells: _Wrapped, key: CellKey, master: MasterKeys) -> bool:
    """Only what is there when it is written: the key may be destroyed at this moment."""

    def change(found: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], bool]:
        told = _stale(cells, key, found[key], master) if key in found else None
        if told is None:
            return {}, False
        context = cells.context(key.tenant, key.name)
        sealed = master.seal(master.unseal(b64decode(told[cells.member]), context=context), context=context)
        told[cells.member] = b64encode(sealed).decode()
        return {key: Cell(pydantic_core.to_json(told), found[key].due)}, True

    return await vault.keeping.store.amend(Amendment((key,), change))
