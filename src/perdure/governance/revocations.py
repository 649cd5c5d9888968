"""Who may do nothing any more, or nothing for now: said at once, to every worker of a store.

    revoke, stop ─► cell `revoked` ◄── looked at before each effect, by whoever is about to make one

What is *revoked* is refused: the call fails, and the run hears why. What is *stopped* is held: the run waits in front
of its next effect until somebody lets it go on, and no call of it fails. Agents, runs and users can be either; a whole
tenant, and all that a store has, can be stopped.

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
from ..core.ids import DEFAULT_TENANT
from ..journal import Amendment, Cell, CellKey, Store

__all__ = ["EVERYTHING", "Revocation", "Revocations", "Seen", "Who"]

KIND = "revoked"

FRESH = 0.5
"""Seconds for which a look is good for what has no effect: a model call, a plain read, a step."""

PAGE = 1000
"""More revocations than this in a tenant are looked up one by one."""


What = Literal["agent", "run", "user", "tenant", "all"]


class Who(NamedTuple):
    """Who is meant."""

    what: What
    name: str
    """of an agent, of a run or of a tenant; a user's is `user:ann`, as the run's principal has it; of all: `all`"""

    @classmethod
    def of(cls, *, agent: str | None = None, run: str | None = None, user: str | None = None) -> Who:
        """From the one that is given. Raises `ConfigError`."""
        given: list[tuple[What, str]] = []
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
        return "all of this store" if self.what == "all" else f"{self.what} `{self.name}`"


EVERYTHING = Who("all", "all")
"""Every run of every tenant of a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Somebody who may do nothing any more, or nothing for now."""

    tenant: str
    who: Who
    by: str
    reason: str
    at: int
    """microseconds, the store's clock"""
    stop: bool = False
    """it is held until it may go on; False: what it does is refused"""


class Seen:
    """Those of a tenant, as one look has found them."""

    __slots__ = ("_revoked", "_stopped", "whole")

    def __init__(self, found: Sequence[Revocation], *, whole: bool) -> None:
        self._revoked = {r.who: r for r in found if not r.stop}
        self._stopped = {r.who: r for r in found if r.stop}
        self.whole = whole
        """whether there are no others"""

    def first(self, names: Sequence[Who]) -> Revocation | None:
        """The first of these who is revoked."""
        if not self._revoked:
            return None
        return next((self._revoked[who] for who in names if who in self._revoked), None)

    def stopped(self, names: Sequence[Who]) -> Revocation | None:
        """The first of these who is stopped."""
        if not self._stopped:
            return None
        return next((self._stopped[who] for who in names if who in self._stopped), None)


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

    async def one_by_one(self, tenant: str, names: Sequence[Who], *, stop: bool = False) -> Revocation | None:
        """The first of these who is revoked (or stopped), where there are too many to be read at once."""
        for who in names:
            key = _key(tenant, who, stop=stop)
            for found, cell in await self._store.cells(KIND, tenant=key.tenant, prefix=key.name, limit=1):
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
                    page, found = await self._page(tenant)
                except Exception as error:
                    asked.set_exception(error)
                    asked.exception()  # marked as seen: who asked may be gone
                    continue
                looks.last, looks.at = Seen(found, whole=page < PAGE), began
                asked.set_result(looks.last)
        finally:
            looks.task = None
            for left in (asked, looks.following):  # the loop ends in the middle of it
                if left is not None and not left.done():
                    left.set_exception(
                        StoreError("the worker stops, and nobody looks at the revocations any more")
                    )
                    left.exception()

    async def _page(self, tenant: str) -> tuple[int, list[Revocation]]:
        """How many of the tenant were read, and what was found: with it what holds for all tenants."""
        own = self._store.cells(KIND, tenant=tenant, limit=PAGE)
        if tenant == DEFAULT_TENANT:
            page, of_all = await own, list[tuple[CellKey, Cell]]()
        else:
            name = _key(tenant, EVERYTHING, stop=True).name
            page, of_all = await asyncio.gather(
                own, self._store.cells(KIND, tenant=DEFAULT_TENANT, prefix=name, limit=1)
            )
        return len(page), [_read(key, cell) for key, cell in (*page, *of_all)]

    # changing --------------------------------------------------------------------------------------------------

    async def revoke(self, tenant: str, who: Who, *, by: str, reason: str = "", stop: bool = False) -> bool:
        """Take it back, or hold it (`stop`); it counts for every effect that begins once this has returned.

        False: it was already.
        """
        key = _key(tenant, who, stop=stop)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], bool]:
            if key in cells:
                return {}, False
            told = {"what": who.what, "name": who.name, "by": by, "reason": reason[:1000], "at": now}
            return {key: Cell(pydantic_core.to_json({**told, "stop": True} if stop else told))}, True

        return await self._store.amend(Amendment([key], change), news=True)

    async def restore(self, tenant: str, who: Who, *, stop: bool = False) -> bool:
        """Let it go on. False: it was not revoked (or not stopped)."""
        key = _key(tenant, who, stop=stop)
        return await self._store.amend(
            Amendment([key], lambda cells, now: ({key: None} if key in cells else {}, key in cells)),
            news=True,
        )

    async def ls(self, tenant: str | None = None, *, stop: bool = False) -> list[Revocation]:
        """All that are revoked (or stopped), of a tenant or of every one; what holds for all is of `default`."""
        found: list[Revocation] = []
        after: CellKey | None = None
        while True:
            page = await self._store.cells(KIND, tenant=tenant, after=after, limit=PAGE)
            found += [r for r in (_read(key, cell) for key, cell in page) if r.stop is stop]
            if len(page) < PAGE:
                return found
            after = page[-1][0]


def _key(tenant: str, who: Who, *, stop: bool = False) -> CellKey:
    where = DEFAULT_TENANT if who == EVERYTHING else tenant
    return CellKey(where, KIND, f"{'stop/' if stop else ''}{who.what}/{who.name}")


def _read(key: CellKey, cell: Cell) -> Revocation:
    told: dict[str, Any] = pydantic_core.from_json(cell.data)
    return Revocation(
        tenant=key.tenant,
        who=Who(told["what"], told["name"]),
        by=told["by"],
        reason=told["reason"],
        at=told["at"],
        stop=told.get("stop", False),
    )
