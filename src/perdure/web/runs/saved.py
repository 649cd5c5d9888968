"""Saved views: lists that somebody wants to see again, by a name of their own. A cell each, for that person alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import pydantic_core

from ...core.errors import ConfigError
from ...core.people import person
from ...journal import Amendment, Cell, CellKey, Store

__all__ = ["SavedView", "forget_view", "save_view", "saved_views"]

_KIND = "saved_view"
MOST = 30
LONGEST_NAME = 60
LONGEST_QUERY = 1500


@dataclass(frozen=True, slots=True)
class SavedView:
    """A list by its name."""

    id: str
    name: str
    query: str
    """what stands behind the `?` of its address"""


def _prefix(subject: str) -> str:
    # by its digest: names of people may hold anything, and be longer than a cell's name may
    return hashlib.sha256(person(subject).encode()).hexdigest()[:24] + "/"


async def saved_views(store: Store, tenant: str, subject: str) -> list[SavedView]:
    """Those of one person, by name."""
    found = await store.cells(_KIND, tenant=tenant, prefix=_prefix(subject), limit=MOST)
    views = [
        SavedView(key.name.rpartition("/")[2], told["name"], told["query"])
        for key, cell in found
        for told in [pydantic_core.from_json(cell.data)]
    ]
    return sorted(views, key=lambda view: view.name.casefold())


async def save_view(store: Store, tenant: str, subject: str, *, name: str, query: str) -> SavedView:
    """Keep a list under a name; one of that name before it is replaced. Raises `ConfigError`."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigError(f"a view needs a name of 1 to {LONGEST_NAME} characters")
    if len(query) > LONGEST_QUERY:
        raise ConfigError("these filters are too long to be kept: choose fewer")
    made = SavedView(hashlib.sha256(name.casefold().encode()).hexdigest()[:12], name, query)
    there = await saved_views(store, tenant, subject)
    if len(there) >= MOST and made.id not in {view.id for view in there}:
        raise ConfigError(f"there are {MOST} saved views already: remove one first")
    key = CellKey(tenant, _KIND, _prefix(subject) + made.id)

    def change(_: Mapping[CellKey, Cell], _now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
        return {key: Cell(pydantic_core.to_json({"name": name, "query": query}))}, None

    await store.amend(Amendment((key,), change))
    return made


async def forget_view(store: Store, tenant: str, subject: str, view: str) -> None:
    """Keep it no more. Of one that is not there: nothing."""
    key = CellKey(tenant, _KIND, _prefix(subject) + view[:40].replace("\0", ""))

    def change(cells: Mapping[CellKey, Cell], _now: int) -> tuple[Mapping[CellKey, Cell | None], None]:
        return dict.fromkeys(cells), None

    await store.amend(Amendment((key,), change))
