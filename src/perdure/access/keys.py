"""API keys: how a program shows who it is, where there is no provider of tokens for it.

    pdk_ID_SECRET             shown once, to whoever makes it
    cell `api_key`, ID        SHA-256 of the whole, its roles, until when, by whom made

A key is a *system*: `system:NAME`. So it starts and looks, and approves nothing: what a human is
asked, a human answers.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pydantic_core

from ..core.clock import to_micros
from ..core.errors import ConfigError, UnknownKey
from ..core.ids import DEFAULT_TENANT, check_id
from ..core.principal import Principal, check_grants
from ..core.roles import Role
from ..journal import Amendment, Cell, CellKey
from ..journal.cells import CellStore

__all__ = ["PREFIX", "ApiKey", "ApiKeys", "NewKey"]

PREFIX = "pdk_"
"""Of every key: by it scanners of repositories find one that was committed."""
KEY_ISSUER = "perdure"
"""Vouches for keys: the server that made them."""
_KIND = "api_key"
_TEXT = re.compile(r"pdk_([0-9a-f]{16})_([0-9a-f]{64})(?:\.(\S{1,200}))?")
_TOUCH = 3_600_000_000
"""Microseconds between two notes of when a key was last used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key, without what opens anything. Times are microseconds, the store's clock."""

    id: str
    tenant: str
    name: str
    """of the program that has it"""
    roles: frozenset[Role]
    grants: frozenset[str]
    """what runs may do that it starts"""
    by: str
    """who made it"""
    made_at: int
    ends_at: int
    used_at: int | None = None
    """to within an hour"""
    revoked_at: int | None = None
    revoked_by: str | None = None

    @property
    def principal(self) -> Principal:
        """For whom runs act that are started by it."""
        return Principal(
            subject=f"system:{self.name}", issuer=KEY_ISSUER, grants=self.grants, tenant=self.tenant
        )

    def state(self, now: int) -> str:
        """`good`, `revoked` or `expired`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if now >= self.ends_at else "good"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made just now."""

    key: ApiKey
    text: str
    """what the program shows; it stands nowhere else, and is not shown again"""

    def __repr__(self) -> str:
        return f"NewKey({self.key!r})"


class ApiKeys:
    """The API keys of a store."""

    def __init__(self, store: CellStore) -> None:
        self._store = store

    async def create(
        self,
        name: str,
        *,
        tenant: str,
        roles: Iterable[Role],
        by: str,
        lasts: timedelta,
        grants: Iterable[str] = (),
    ) -> NewKey:
        """Make a key. Raises `ConfigError` for what cannot be one."""
        check_id(name, what="a key's name")
        check_id(tenant, what="a tenant")
        given, granted = frozenset(roles), check_grants(tuple(grants), what=f"key `{name}`")
        if not given:
            raise ConfigError(f"key `{name}` has no role: say what it is for, as `--role operator`")
        if Role.APPROVER in given:
            raise ConfigError(
                f"key `{name}`: a key is a program, and programs approve nothing; approvers sign in themselves"
            )
        if lasts <= timedelta():
            raise ConfigError(
                f"key `{name}` would end {-lasts} ago: say for how long it is good, as `--days 90`"
            )
        id = secrets.token_hex(8)
        text = f"{PREFIX}{id}_{secrets.token_hex(32)}" + ("" if tenant == DEFAULT_TENANT else f".{tenant}")
        key = CellKey(tenant, _KIND, id)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], ApiKey]:
            told = {
                "digest": _digest(text),
                "name": name,
                "roles": sorted(given),
                "grants": sorted(granted),
                "by": by,
                "made_at": now,
                "ends_at": now + to_micros(lasts),
            }
            cell = Cell(pydantic_core.to_json(told))
            return {key: cell}, _read(key, cell)

        return NewKey(await self._store.amend(Amendment([key], change)), text)

    async def find(self, text: str, *, now: int) -> ApiKey | None:
        """The key of that text, which is good now; None: there is none."""
        read = _TEXT.fullmatch(text)
        if read is None:
            return None
        found = await self._cell(read[3] or DEFAULT_TENANT, read[1])
        if found is None:
            return None
        told: dict[str, Any] = pydantic_core.from_json(found[1].data)
        key = _read(*found)
        if not hmac.compare_digest(told["digest"], _digest(text)) or key.state(now) != "good":
            return None
        if key.used_at is None or now - key.used_at > _TOUCH:
            await self._set(found[0], used_at=now)
        return key

    async def ls(self, tenant: str | None = None) -> list[ApiKey]:
        """All that were made, the last first: of a tenant, or of every one."""
        found: list[ApiKey] = []
        after: CellKey | None = None
        while True:
            page = await self._store.cells(_KIND, tenant=tenant, after=after)
            found += [_read(key, cell) for key, cell in page]
            if len(page) < 1000:
                return sorted(found, key=lambda key: -key.made_at)
            after = page[-1][0]

    async def revoke(self, id: str, *, tenant: str, by: str) -> ApiKey:
        """End a key now, by its id; the first time counts. Raises `UnknownKey`."""
        found = await self._cell(tenant, id)
        if found is None:
            raise UnknownKey(
                f"there is no key `{id[:40]}` in tenant `{tenant}`; `perdure keys ls` shows those"
            )
        await self._set(found[0], once="revoked_at", revoked_by=by)
        again = await self._cell(tenant, id)
        assert again is not None  # a cell of a key is never deleted: what it did is looked up by its id
        return _read(*again)

    async def _cell(self, tenant: str, id: str) -> tuple[CellKey, Cell] | None:
        page = await self._store.cells(_KIND, tenant=tenant, prefix=id, limit=1) if id else []
        return page[0] if page and page[0][0].name == id else None

    async def _set(self, key: CellKey, *, once: str | None = None, **told: Any) -> None:
        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
            there: dict[str, Any] = pydantic_core.from_json(cells[key].data)
            if once is not None and once in there:
                return {}, None
            more = told if once is None else {**told, once: now}
            return {key: Cell(pydantic_core.to_json({**there, **more}))}, None

        await self._store.amend(Amendment([key], change))


def _digest(text: str) -> str:
    # 256 random bits need no salt and no slow hash: there is nothing to guess.
    return hashlib.sha256(text.encode()).hexdigest()


def _read(key: CellKey, cell: Cell) -> ApiKey:
    told: dict[str, Any] = pydantic_core.from_json(cell.data)
    return ApiKey(
        id=key.name,
        tenant=key.tenant,
        name=told["name"],
        roles=frozenset(Role(word) for word in told["roles"]),
        grants=frozenset(told["grants"]),
        by=told["by"],
        made_at=told["made_at"],
        ends_at=told["ends_at"],
        used_at=told.get("used_at"),
        revoked_at=told.get("revoked_at"),
        revoked_by=told.get("revoked_by"),
    )
