"""Sessions: what a browser holds after a sign-in, so that nobody signs in with every click.

    sign-in ─► random text ─► cookie of the browser
                   └─ SHA-256 ─► cell `session`: who, which roles, until when

The store holds digests, which nobody can send: whoever reads the database has no session. A session ends when it was
not used for a while, when it is old, when somebody signs out, and when an admin ends it; each counts with the next
request, on every server of the store.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pydantic_core

from ..core.clock import to_micros
from ..core.ids import DEFAULT_TENANT
from ..core.people import person
from ..core.principal import Principal
from ..core.roles import Role
from ..journal import Amendment, Cell, CellKey
from ..journal.cells import CellStore

__all__ = ["TERMINAL", "Session", "Sessions"]

TERMINAL = "pds_"
"""Of a session that a terminal has: it is shown like a key, and no browser's cookie."""
_KIND = "session"
_BYTES = 32
_TOUCHES = 20
"""In the time after which an unused session ends, its last use is written down so often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is signed in. Times are microseconds, the store's clock."""

    id: str
    """to name it by: it opens nothing"""
    tenant: str
    principal: Principal
    roles: frozenset[Role]
    how: str
    """by what it began: `link`, or the provider's name"""
    began_at: int
    used_at: int
    """to within a twentieth of the time after which it ends unused"""
    ends_at: int
    """at the latest"""
    agent: str = ""
    """the browser, as it calls itself"""

    def good(self, now: int, *, idle: timedelta) -> bool:
        """Whether it has not ended by then."""
        return now < min(self.ends_at, self.used_at + to_micros(idle))


class Sessions:
    """The sessions of a store."""

    def __init__(
        self,
        store: CellStore,
        *,
        idle: timedelta = timedelta(hours=12),
        longest: timedelta = timedelta(days=7),
    ) -> None:
        self._store = store
        self._unused = idle
        self._idle = to_micros(idle)
        self._longest = to_micros(longest)

    async def begin(
        self,
        principal: Principal,
        *,
        tenant: str,
        roles: frozenset[Role],
        how: str,
        agent: str = "",
        terminal: bool = False,
    ) -> str:
        """A new session; what is returned is for the browser's cookie, or the `terminal`, and stands nowhere else."""
        secret = (TERMINAL if terminal else "") + secrets.token_hex(_BYTES)
        key = CellKey(tenant, _KIND, _digest(secret))

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
            told = {
                "principal": principal.told(),
                "roles": sorted(roles),
                "how": how,
                "began_at": now,
                "used_at": now,
                "ends_at": now + self._longest,
                "agent": agent[:200],
            }
            return {key: self._cell(told)}, None

        await self._store.amend(Amendment([key], change))
        return secret if tenant == DEFAULT_TENANT else f"{secret}.{tenant}"

    async def find(self, cookie: str, *, now: int) -> Session | None:
        """Whose session that is; None: nobody's, or it has ended. `now` is the store's time."""
        key = _key(cookie)
        if key is None:
            return None
        found = await self._store.cells(_KIND, tenant=key.tenant, prefix=key.name, limit=1)
        if not found or found[0][0] != key:
            return None
        session = _read(*found[0])
        if not session.good(now, idle=self._unused):
            await self._store.amend(Amendment([key], lambda cells, now: ({key: None}, None)))
            return None
        if now - session.used_at > self._idle // _TOUCHES:
            await self._touch(key)
        return session

    async def end(self, cookie: str) -> None:
        """Sign out."""
        key = _key(cookie)
        if key is not None:
            await self._store.amend(Amendment([key], lambda cells, now: ({key: None}, None)))

    async def ls(self, tenant: str | None = None) -> list[Session]:
        """All that there are, the last that began first."""
        found: list[Session] = []
        after: CellKey | None = None
        while True:
            page = await self._store.cells(_KIND, tenant=tenant, after=after)
            found += [_read(key, cell) for key, cell in page]
            if len(page) < 1000:
                return sorted(found, key=lambda session: -session.began_at)
            after = page[-1][0]

    async def revoke(
        self, *, tenant: str | None = None, id: str | None = None, subject: str | None = None
    ) -> int:
        """End those of an id, or of a person, or all of a tenant; how many."""
        ended = 0
        for session in await self.ls(tenant):
            wanted = (id is None or session.id == id) and (
                subject is None or person(session.principal.subject) == person(subject)
            )
            if wanted:
                for key, _ in await self._store.cells(_KIND, tenant=session.tenant, prefix=session.id):
                    await self._store.amend(Amendment([key], lambda cells, now, key=key: ({key: None}, None)))
                    ended += 1
        return ended

    async def _touch(self, key: CellKey) -> None:
        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
            if key not in cells:  # it was ended meanwhile, and stays so
                return {}, None
            told: dict[str, Any] = pydantic_core.from_json(cells[key].data)
            return {key: self._cell({**told, "used_at": max(now, told["used_at"])})}, None

        await self._store.amend(Amendment([key], change))

    def _cell(self, told: Mapping[str, Any]) -> Cell:
        due = min(told["ends_at"], told["used_at"] + self._idle)
        return Cell(pydantic_core.to_json(told), due)


def _digest(secret: str) -> str:
    # 256 random bits need no salt and no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(cookie: str) -> CellKey | None:
    secret, _, tenant = cookie.partition(".")
    if len(secret.removeprefix(TERMINAL)) != 2 * _BYTES or len(tenant) > 200 or "\0" in tenant:
        return None
    return CellKey(tenant or DEFAULT_TENANT, _KIND, _digest(secret))


def _read(key: CellKey, cell: Cell) -> Session:
    told: dict[str, Any] = pydantic_core.from_json(cell.data)
    return Session(
        id=key.name[:16],
        tenant=key.tenant,
        principal=Principal.read(told["principal"]),
        roles=frozenset(Role(word) for word in told["roles"]),
        how=told["how"],
        began_at=told["began_at"],
        used_at=told["used_at"],
        ends_at=told["ends_at"],
        agent=told["agent"],
    )
