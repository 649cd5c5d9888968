"""The passkeys that people have registered with a server: cells that every worker sees with the next answer.

A cell has the public key only. Who may write cells could put one there: where the database is trusted less than the
settings, `[approvals.passkeys] registered = false` lets those passkeys alone count whose keys stand in
`[approvals.keys]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core

from ..core.approver_keys import ApproverKey
from ..core.errors import UnknownKey
from ..core.people import person
from ..journal import Amendment, Cell, CellKey
from ..journal.cells import CellStore

__all__ = ["Passkey", "Passkeys"]

_KIND = "passkey"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    """One person's passkey. Times are microseconds, the store's clock."""

    id: str
    """of the credential, as the authenticator chose it: Base64url"""
    tenant: str
    owner: str
    """`user:ann`"""
    key: ApproverKey
    note: str
    """which one it is: `phone`"""
    made_at: int
    by: str
    """who vouched for its owner when it was registered: the issuer of their sign-in"""
    revoked_at: int | None = None
    revoked_by: str | None = None


class Passkeys:
    """The passkeys of a store."""

    def __init__(self, store: CellStore) -> None:
        self._store = store

    async def add(self, id: str, *, tenant: str, owner: str, key: ApproverKey, note: str, by: str) -> Passkey:
        """Register one. Raises `UnknownKey` where that credential is registered already, for anybody."""
        cell_key = CellKey(tenant, _KIND, id)

        def change(
            cells: Mapping[CellKey, Cell], now: int
        ) -> tuple[Mapping[CellKey, Cell | None], Passkey | None]:
            if cell_key in cells:
                return {}, None
            told = {"owner": owner, "key": key.key, "note": note[:100], "made_at": now, "by": by}
            cell = Cell(pydantic_core.to_json(told))
            return {cell_key: cell}, _read(cell_key, cell)

        made: Passkey | None = await self._store.amend(Amendment([cell_key], change))
        if made is None:
            raise UnknownKey(
                "that passkey is registered already, and a revoked one stays revoked: make another"
            )
        return made

    async def find(self, id: str, *, tenant: str) -> Passkey | None:
        """The passkey of that credential, revoked or not."""
        page = await self._store.cells(_KIND, tenant=tenant, prefix=id, limit=1) if id else []
        return _read(*page[0]) if page and page[0][0].name == id else None

    async def ls(self, *, tenant: str, owner: str | None = None) -> list[Passkey]:
        """All of a tenant, or of one person, the first that was made first."""
        found: list[Passkey] = []
        after: CellKey | None = None
        while True:
            page = await self._store.cells(_KIND, tenant=tenant, after=after)
            found += [_read(key, cell) for key, cell in page]
            if len(page) < 1000:
                break
            after = page[-1][0]
        mine = [p for p in found if owner is None or person(p.owner) == person(owner)]
        return sorted(mine, key=lambda passkey: passkey.made_at)

    async def revoke(self, id: str, *, tenant: str, by: str) -> Passkey:
        """From now on it signs nothing that counts; the first time counts. Raises `UnknownKey`."""
        key = CellKey(tenant, _KIND, id)

        def change(
            cells: Mapping[CellKey, Cell], now: int
        ) -> tuple[Mapping[CellKey, Cell | None], Passkey | None]:
            if key not in cells:
                return {}, None
            told: dict[str, Any] = pydantic_core.from_json(cells[key].data)
            if "revoked_at" in told:
                return {}, _read(key, cells[key])
            cell = Cell(pydantic_core.to_json({**told, "revoked_at": now, "revoked_by": by}))
            return {key: cell}, _read(key, cell)

        found: Passkey | None = await self._store.amend(Amendment([key], change))
        if found is None:
            raise UnknownKey(f"there is no passkey `{id[:40]}` in tenant `{tenant}`")
        return found


def _read(key: CellKey, cell: Cell) -> Passkey:
    told: dict[str, Any] = pydantic_core.from_json(cell.data)
    return Passkey(
        id=key.name,
        tenant=key.tenant,
        owner=told["owner"],
        key=ApproverKey(key=told["key"]),
        note=told["note"],
        made_at=told["made_at"],
        by=told["by"],
        revoked_at=told.get("revoked_at"),
        revoked_by=told.get("revoked_by"),
    )
