"""A grant: what a user has given a tenant's agents with one provider, and the cells that it is kept in.

    grant     PROVIDER/USER    what is sealed, and what may be seen of it
    user_key  USER             the data key of that user, wrapped

What may be seen is for listings; what decides (scopes, times) is inside the seal.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any, Literal, Self

import pydantic_core

from ..core.errors import ConfigError, StoreCorrupt
from ..journal import Cell, CellKey
from .sealed import Place

__all__ = ["GRANT", "USER_KEY", "Grant", "UserKey", "check_subject", "grant_key", "user_key"]

GRANT = "grant"
USER_KEY = "user_key"
LONGEST_SUBJECT = 800
"""Bytes: the name of a cell holds it, and the provider's."""

State = Literal["good", "dead"]


def check_subject(subject: str) -> str:
    """Return `subject` if grants can be kept for it; raise `ConfigError` if not."""
    if not subject or "\0" in subject or len(subject.encode()) > LONGEST_SUBJECT:
        raise ConfigError(
            f"`{subject[:80]}` cannot be a user: 1 to {LONGEST_SUBJECT} bytes, as `user:ann`, without U+0000"
        )
    return subject


def grant_key(place: Place) -> CellKey:
    """The cell of a grant."""
    return CellKey(place.tenant, GRANT, f"{place.provider}/{check_subject(place.subject)}")


def user_key(tenant: str, subject: str) -> CellKey:
    """The cell of a user's data key."""
    return CellKey(tenant, USER_KEY, check_subject(subject))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A grant as it is kept. Times are microseconds since the Unix epoch."""

    place: Place
    version: int
    """1, and one more each time that it is connected or renewed"""
    kind: Literal["oauth2", "api_key"]
    scopes: tuple[str, ...]
    expires_at: int | None
    connected_at: int
    renewed_at: int
    by: str
    """who connected it"""
    state: State = "good"
    """`dead`: the provider takes it no more"""
    why: str = ""
    sealed: bytes
    holder: str | None = None
    """who is renewing it"""
    held_until: int = 0
    """on the store's clock"""

    def __repr__(self) -> str:
        place = self.place
        return f"Grant({place.provider} of {place.subject} in {place.tenant}, version {self.version}, {self.state})"

    @classmethod
    def of(cls, key: CellKey, cell: Cell) -> Self:
        """From its cell; what a later release says beside is left out. Raises `StoreCorrupt`."""
        provider, _, subject = key.name.partition("/")
        try:
            told: dict[str, Any] = pydantic_core.from_json(cell.data)
            known = {name: told[name] for name in cls.__dataclass_fields__ if name in told}
            known |= {"scopes": tuple(told["scopes"]), "sealed": b64decode(told["sealed"], validate=True)}
            return cls(**known, place=Place(key.tenant, subject, provider))
        except (ValueError, TypeError, KeyError) as error:
            raise StoreCorrupt(
                f"the cell `{key.kind}/{key.name}` of tenant {key.tenant} is no grant"
            ) from error

    def cell(self) -> Cell:
        """As it is kept."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "place"}
        return Cell(pydantic_core.to_json(told | {"sealed": b64encode(self.sealed).decode()}))


@dataclass(frozen=True, slots=True)
class UserKey:
    """A user's data key, wrapped under a master key."""

    wrapped: bytes
    created_at: int
    last: int = 0
    """the last version of any of their grants"""

    @classmethod
    def of(cls, key: CellKey, cell: Cell) -> Self:
        """From its cell. Raises `StoreCorrupt`."""
        try:
            told: dict[str, Any] = pydantic_core.from_json(cell.data)
            return cls(b64decode(told["wrapped"], validate=True), int(told["created_at"]), int(told["last"]))
        except (ValueError, TypeError, KeyError) as error:
            raise StoreCorrupt(
                f"the cell `{key.kind}/{key.name}` of tenant {key.tenant} is no user's key"
            ) from error

    def cell(self) -> Cell:
        """As it is kept."""
        told = {"wrapped": b64encode(self.wrapped).decode(), "created_at": self.created_at, "last": self.last}
        return Cell(pydantic_core.to_json(told))
