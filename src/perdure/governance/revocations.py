"""Agents, runs and users that may do nothing any more: taken back at once, on every worker of a store.

    revoke ─► cell `revoked` ◄── looked at before each effect, by whoever is about to make one

Nothing is told to workers, as what is told may come late: before each effect the store itself is asked, beside the
commit of its intent. All who ask at one moment are answered by one look, and a look counts only for those who asked
before it began; so an effect that begins after `revoke` has returned is refused, wherever it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pydantic_core

from ..core.clock import Clock
from ..core.errors import ConfigError, StoreError
from ..core.futures import Steady
from ..journal import Amendment, Cell, CellKey, Store

__all__ = ["Revocation", "Revocations", "Seen", "Who"]

KIND = "revoked"

FRESH = 1.0
"""Seconds for which a look is good for what has no effect: a model call."""

PAGE = 1000
"""More revocations than this in a tenant are looked up one by one."""


class Who(NamedTuple):
    """Who is meant."""

    what: Literal["agent", "run", "user"]
    name: str
    """of an agent, or of a run; a user's is `user:ann`, as the run's principal has it"""

    @classmethod
    def of(cls, *, agent: str | None = None, run: str | None = None, user: str | None = None) -> Who:
        """From the one that is given. Raises `ConfigError`."""
        given: list[tuple[Literal["agent", "run", "user"], str]] = []
        if agent is not None:
            given.append(("agent", agent))
        if run is not None:
            given.append(("run", run))
        if user is not None:
            given.append(("user", user if ":" in user else f"user:{user}"))
        if len(given) != 1 or not given[0][1] or len(given[0][1].encode()) > 900 or "\0" in given[0][1]:
            raise ConfigError("name one of an agent, a run and a user")
        return cls(*given[0])

    def __str__(self) -> str:
        return f"{self.what} `{self.name}`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Somebody who may do nothing any more."""

    tenant: str
    who: Who
    by: str
    reason: str
    at: int
    """microseconds, the store's clock"""


class Seen:
    """Those of a tenant, as one look has found them."""

    __slots__ = ("_found", "whole")

    def __init__(self, found: Mapping[Who, Revocation], *, whole: bool) -> None:
        self._found = found
        self.whole = whole
        """whether there are no others"""

    def first(self, names: Sequence[Who]) -> Revocation | None:
        """The first of these who is among them."""
        if not self._found:
            return None
        return next((self._found[who] for who in names if who in self._found), None)


class _Looks:
    """The looks at one tenant: the one under way, and the next, for those who asked since it began."""

    __slots__ = ("at", "following", "last", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.following: Steady[Seen] | None = None
        self.last: Seen | None = None
        self.at = 0.0
        """when the last look that has ended began, on the process's clock"""


class Revocations:
    """The revocations of a store. Belongs to one loop."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._looks: dict[str, _Looks] = {}

    # looking ---------------------------------------------------------------------------------------------------

    def look(self, tenant: str) -> asyncio.Future[Seen]:
        """What a look finds that begins from now on. The future raises `StoreError` where the store cannot be read."""
        looks = self._looks.get(tenant)
        if looks is None:
            looks = self._looks[tenant] = _Looks()
        if looks.following is None:
            looks.following = Steady()
        found = looks.following
        if looks.task is None:
            looks.task = asyncio.get_running_loop().create_task(self._go_on(tenant, looks))
        return found

    def lately(self, tenant: str) -> Seen | None:
        """What was found within the last second; None: nobody has looked."""
        looks = self._looks.get(tenant)
        if looks is None or looks.last is None or self._clock.monotonic() - looks.at >= FRESH:
            return None
        return looks.last

    async def one_by_one(self, tenant: str, names: Sequence[Who]) -> Revocation | None:
        """The first of these who is revoked, where there are too many to be read at once."""
        for who in names:
            key = _key(tenant, who)
            for found, cell in await self._store.cells(KIND, tenant=tenant, prefix=key.name, limit=1):
                if found == key:
                    return _read(found, cell)
        return None

    async def _go_on(self, tenant: str, looks: _Looks) -> None:
        """Look, as long as somebody asks meanwhile."""
        asked: Steady[Seen] | None = None
        try:
            while (asked := looks.following) is not None:
                looks.following = None
                began = self._clock.monotonic()
                try:
                    page = await self._store.cells(KIND, tenant=tenant, limit=PAGE)
                    found = {r.who: r for r in (_read(key, cell) for key, cell in page)}
                except Exception as error:
                    asked.set_exception(error)
                    asked.exception()  # marked as seen: who asked may be gone
                    continue
                looks.last, looks.at = Seen(found, whole=len(page) < PAGE), began
                asked.set_result(looks.last)
        finally:
            looks.task = None
            for left in (asked, looks.following):  # the loop ends in the middle of it
                if left is not None and not left.done():
                    left.set_exception(
                        StoreError("the worker stops, and nobody looks at the revocations any more")
                    )
                    left.exception()

    # changing --------------------------------------------------------------------------------------------------

    async def revoke(self, tenant: str, who: Who, *, by: str, reason: str = "") -> bool:
        """Take it back; every effect that begins once this has returned is refused. False: it was already."""
        key = _key(tenant, who)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], bool]:
            if key in cells:
                return {}, False
            told = {"what": who.what, "name": who.name, "by": by, "reason": reason[:1000], "at": now}
            return {key: Cell(pydantic_core.to_json(told))}, True

        return await self._store.amend(Amendment([key], change), news=True)

    async def restore(self, tenant: str, who: Who) -> bool:
        """Let it go on. False: it was not revoked."""
        key = _key(tenant, who)
        return await self._store.amend(
            Amendment([key], lambda cells, now: ({key: None} if key in cells else {}, key in cells)),
            news=True,
        )

    async def ls(self, tenant: str | None = None) -> list[Revocation]:
        """All, of a tenant or of every one."""
        found: list[Revocation] = []
        after: CellKey | None = None
        while True:
            page = await self._store.cells(KIND, tenant=tenant, after=after, limit=PAGE)
            found += [_read(key, cell) for key, cell in page]
            if len(page) < PAGE:
                return found
            after = page[-1][0]


def _key(tenant: str, who: Who) -> CellKey:
    return CellKey(tenant, KIND, f"{who.what}/{who.name}")


def _read(key: CellKey, cell: Cell) -> Revocation:
    told: dict[str, Any] = pydantic_core.from_json(cell.data)
    return Revocation(
        tenant=key.tenant,
        who=Who(told["what"], told["name"]),
        by=told["by"],
        reason=told["reason"],
        at=told["at"],
    )
