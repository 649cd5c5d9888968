"""The keys of data subjects: one for each person and tenant, wrapped by the master key, in a cell of its own.

    live ──► erasing ──► erased

A key is made when the first run of its subject is accepted; of several that make one at once the first wins. Where it
is `erasing`, no more runs are accepted; where it is `erased`, the key is gone, and what is left is a tombstone, so that
it is never made again. A key is read for each use and kept only with a claim, so no process goes on with one that is
gone: its runs are seized before.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.errors import ConfigError, PerdureError, StoreSealed, SubjectErased
from ...journal import Amendment, Cell, CellKey, CellStore

if TYPE_CHECKING:
    from ...identity import MasterKeys
    from .form import SubjectKey

__all__ = ["KIND", "SubjectKeys", "cell_key"]

KIND = "subject_key"

_BYTES = 32
_REMEMBERED = 4096
"""Keys that were unwrapped, by what was unwrapped: it is read from the store each time, and only the work is saved."""

Told = dict[str, Any]


def cell_key(tenant: str, subject: str) -> CellKey:
    """Where a subject's key is."""
    return CellKey(tenant, KIND, subject)


class SubjectKeys:
    """Makes, finds and destroys keys. `master` opens the master keys; it is asked once somebody needs them."""

    def __init__(self, cells: CellStore, master: Callable[[], MasterKeys]) -> None:
        self._cells = cells
        self._open = master
        self._master: MasterKeys | None = None
        self._unwrapped: dict[tuple[str, str, str], SubjectKey] = {}

    async def get(self, tenant: str, subject: str) -> SubjectKey:
        """The key of a subject, made if there is none. Raises `SubjectErased`, `ConfigError` without a master key."""
        there = await self.find(tenant, subject)
        if there is not None:
            return there
        key = cell_key(tenant, subject)
        fresh = self._wrapped(tenant, subject)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Told]:
            there = cells.get(key)
            if there is not None:
                return {}, pydantic_core.from_json(there.data)
            made = {"state": "live", "sealed": fresh, "made": now}
            return {key: Cell(pydantic_core.to_json(made))}, made

        told: Told = await self._cells.amend(Amendment((key,), change))
        found = self._key_of(tenant, subject, told)
        if found is None:
            raise SubjectErased(_gone(tenant, subject))
        return found

    async def find(self, tenant: str, subject: str) -> SubjectKey | None:
        """The key of a subject; None: it is gone, or never was. Raises `StoreSealed` where no master key opens it."""
        told = await self.told(tenant, subject)
        return None if told is None else self._key_of(tenant, subject, told)

    async def told(self, tenant: str, subject: str) -> Told | None:
        """What is known of a subject's key; None: nothing."""
        key = cell_key(tenant, subject)
        found = await self._cells.cells(KIND, tenant=tenant, prefix=subject, limit=1)
        return pydantic_core.from_json(found[0][1].data) if found and found[0][0] == key else None

    def alive(self, tenant: str, subject: str) -> Amendment:
        """Goes with whatever is written of a subject by others than its runs: raises `SubjectErased` instead."""
        key = cell_key(tenant, subject)

        def check(cells: Mapping[CellKey, Cell], _now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
            there = cells.get(key)
            if there is None or pydantic_core.from_json(there.data)["state"] != "live":
                raise SubjectErased(_gone(tenant, subject))
            return {}, None

        return Amendment((key,), check)

    async def begin_erasing(self, tenant: str, subject: str, *, by: str) -> Told:
        """No more runs of this subject from here on. What is known of its key then."""
        key = cell_key(tenant, subject)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Told]:
            told: Told = pydantic_core.from_json(cells[key].data) if key in cells else {"state": "live"}
            if told["state"] != "live":
                return {}, told
            told |= {"state": "erasing", "by": by, "since": now, "ended": [], "in_doubt": []}
            return {key: Cell(pydantic_core.to_json(told))}, told

        return await self._cells.amend(Amendment((key,), change))

    async def note_ended(self, tenant: str, subject: str, run: str, in_doubt: Sequence[str]) -> None:
        """Keep that a run was in flight, and what of it was under way, before it is ended."""
        key = cell_key(tenant, subject)

        def change(cells: Mapping[CellKey, Cell], _now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
            told: Told = pydantic_core.from_json(cells[key].data)
            if told["state"] != "erasing" or run in told["ended"]:
                return {}, None
            told["ended"].append(run)
            told["in_doubt"].extend(in_doubt)
            return {key: Cell(pydantic_core.to_json(told))}, None

        await self._cells.amend(Amendment((key,), change))

    async def destroy(self, tenant: str, subject: str) -> Told:
        """Take the key away for good. What is left."""
        key = cell_key(tenant, subject)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Told]:
            told: Told = pydantic_core.from_json(cells[key].data)
            if told["state"] == "erased":
                return {}, told
            left = {
                "state": "erased",
                "at": now,
                **{name: told[name] for name in ("by", "ended", "in_doubt")},
            }
            return {key: Cell(pydantic_core.to_json(left))}, left

        told: Told = await self._cells.amend(Amendment((key,), change), news=True)
        for known in [k for k in self._unwrapped if k[:2] == (tenant, subject)]:
            del self._unwrapped[known]
        return told

    def _wrapped(self, tenant: str, subject: str) -> str:
        try:
            master = self._master = self._open()  # a rotation may have put another in front
        except PerdureError as error:
            raise ConfigError(
                f"a run about `{subject}` must be sealed, and there is no key to seal it with: {error}"
            ) from error
        sealed = master.seal(os.urandom(_BYTES), context=_context(tenant, subject))
        return base64.b64encode(sealed).decode()

    def _key_of(self, tenant: str, subject: str, told: Told) -> SubjectKey | None:
        wrapped: str | None = told.get("sealed")
        if wrapped is None:
            return None
        known = tenant, subject, wrapped
        key = self._unwrapped.get(known)
        if key is None:
            try:
                secret = self._unsealed(base64.b64decode(wrapped), _context(tenant, subject))
            except PerdureError as error:
                raise StoreSealed(
                    f"what runs about `{subject}` recorded is sealed, and cannot be opened here: {error}"
                ) from error
            from .form import SubjectKey

            if len(self._unwrapped) >= _REMEMBERED:
                self._unwrapped.clear()
            key = self._unwrapped[known] = SubjectKey(tenant, subject, secret)
        return key

    def _unsealed(self, wrapped: bytes, context: str) -> bytes:
        try:
            return self._keys().unseal(wrapped, context=context)
        except PerdureError:
            self._master = None  # another may stand before it by now
            return self._keys().unseal(wrapped, context=context)

    def _keys(self) -> MasterKeys:
        if self._master is None:
            self._master = self._open()
        return self._master


def _context(tenant: str, subject: str) -> str:
    return f"data subject|{tenant}|{subject}"


def _gone(tenant: str, subject: str) -> str:
    return (
        f"the data of `{subject}` in tenant `{tenant}` was erased, or is being: nothing of it can be read, and no more "
        "is taken under that name. Give a person who comes back another one"
    )
