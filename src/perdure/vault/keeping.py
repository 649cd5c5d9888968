"""Grants in the store's cells. Each change is one amendment, of the grant and of its user's key together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import pydantic_core

from ..identity.oauth import Tokens
from ..journal import Amendment, Cell, CellKey, CellStore
from .grants import GRANT, Grant, UserKey, grant_key, user_key
from .sealed import DataKey, Master, Place

__all__ = ["Keeping", "Unreadable"]

PAGE = 500

Written = tuple[Mapping[CellKey, Cell | None], Any]


class Unreadable(Exception):
    """The key that a grant was sealed with is gone for good: nobody can tell any more what it was."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """The grants of a store, and the keys of their users."""

    store: CellStore
    master: Master

    # reading -----------------------------------------------------------------------------------------------------

    async def get(self, place: Place) -> Grant | None:
        """What a user has granted, or None."""
        key = grant_key(place)
        cell = await self._cell(key)
        return None if cell is None else Grant.of(key, cell)

    async def open(self, grant: Grant) -> Tokens:
        """What is in a grant. Raises `CannotUnseal` where it does not open, `Unreadable` where nobody can open it."""
        place = grant.place
        key = user_key(place.tenant, place.subject)
        cell = await self._cell(key)
        if cell is None:
            raise Unreadable
        data_key = self.master.unwrap(UserKey.of(key, cell).wrapped, place.tenant, place.subject)
        if not data_key.sealed(grant.sealed):
            raise Unreadable
        return Tokens.from_json(pydantic_core.from_json(data_key.unseal(grant.sealed, place, grant.version)))

    async def each(self, *, tenant: str | None = None, prefix: str = "") -> AsyncIterator[Grant]:
        """All grants, of one tenant or of all, in the order of their cells."""
        async for key, cell in self.pages(GRANT, tenant=tenant, prefix=prefix):
            yield Grant.of(key, cell)

    async def pages(
        self, kind: str, *, tenant: str | None = None, prefix: str = ""
    ) -> AsyncIterator[tuple[CellKey, Cell]]:
        """All cells of a kind."""
        after: CellKey | None = None
        while True:
            page = await self.store.cells(kind, tenant=tenant, prefix=prefix, after=after, limit=PAGE)
            for found in page:
                yield found
            if len(page) < PAGE:
                return
            after = page[-1][0]

    # writing -----------------------------------------------------------------------------------------------------

    async def put(
        self,
        place: Place,
        tokens: Tokens,
        *,
        kind: Literal["oauth2", "api_key"],
        by: str,
        renewing: Grant | None = None,
    ) -> Grant | None:
        """Keep tokens. `renewing`: only as the successor of that version. What is kept then."""
        key, owner = grant_key(place), user_key(place.tenant, place.subject)
        told = pydantic_core.to_json(tokens.to_json())

        def change(cells: Mapping[CellKey, Cell], now: int) -> Written:
            before = Grant.of(key, cells[key]) if key in cells else None
            if renewing is not None and (
                before is None or before.version != renewing.version or owner not in cells
            ):
                return {}, before
            if owner in cells:
                user = UserKey.of(owner, cells[owner])
                data_key = self.master.unwrap(user.wrapped, place.tenant, place.subject)
            else:
                data_key = DataKey.new()
                user = UserKey(self.master.wrap(data_key.raw, place.tenant, place.subject), now)
            # Also after a grant was taken away: no version comes twice.
            user = replace(user, last=user.last + 1)
            after = Grant(
                place=place,
                version=user.last,
                kind=kind,
                scopes=tokens.scopes,
                expires_at=tokens.expires_at,
                connected_at=now if renewing is None else renewing.connected_at,
                renewed_at=now,
                by=by,
                sealed=data_key.seal(told, place, user.last),
            )
            return {key: after.cell(), owner: user.cell()}, after

        return await self.store.amend(Amendment((key, owner), change))

    async def hold(self, grant: Grant, *, holder: str, lease: int) -> Grant | None:
        """Take the right to renew a version, for `lease` microseconds. What is there then, with who holds it."""
        key = grant_key(grant.place)

        def change(cells: Mapping[CellKey, Cell], now: int) -> Written:
            before = Grant.of(key, cells[key]) if key in cells else None
            if before is None or before.version != grant.version or before.state == "dead":
                return {}, before
            if before.holder not in (None, holder) and before.held_until > now:
                return {}, before
            after = replace(before, holder=holder, held_until=now + lease)
            return {key: after.cell()}, after

        return await self.store.amend(Amendment((key,), change))

    async def let_go(self, grant: Grant, *, holder: str, dead: str = "") -> Grant | None:
        """Give that right back. `dead`: the provider takes this version no more, and why."""
        key = grant_key(grant.place)

        def change(cells: Mapping[CellKey, Cell], now: int) -> Written:
            before = Grant.of(key, cells[key]) if key in cells else None
            if before is None or before.version != grant.version or before.holder != holder:
                return {}, before
            after = replace(before, holder=None, held_until=0)
            if dead:
                after = replace(after, state="dead", why=dead)
            return {key: after.cell()}, after

        return await self.store.amend(Amendment((key,), change))

    async def drop(self, place: Place) -> Grant | None:
        """Take a grant away. What it was, or None."""
        key = grant_key(place)

        def change(cells: Mapping[CellKey, Cell], now: int) -> Written:
            return ({key: None}, Grant.of(key, cells[key])) if key in cells else ({}, None)

        return await self.store.amend(Amendment((key,), change))

    async def destroy(self, tenant: str, subject: str) -> bool:
        """Destroy a user's data key: what was sealed with it opens no more. False: there was none."""
        key = user_key(tenant, subject)

        def change(cells: Mapping[CellKey, Cell], now: int) -> Written:
            return ({key: None}, True) if key in cells else ({}, False)

        return await self.store.amend(Amendment((key,), change))

    async def _cell(self, key: CellKey) -> Cell | None:
        found = await self.store.cells(key.kind, tenant=key.tenant, prefix=key.name, limit=1)
        return found[0][1] if found and found[0][0] == key else None
