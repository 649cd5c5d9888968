"""Runs that wait for a grant, and how they hear that it is there.

A run that found none has left a cell `wanted_grant`, called `PROVIDER/USER/RUN/STEP`, in the append by which it waits.
Whoever keeps a grant looks for those. One that began to wait in that very moment is found by the next look around,
which every worker takes now and then.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pydantic_core

from ..core.errors import RunEnded, UnknownRun
from ..core.ids import RunRef
from ..identity.oauth import missing_scopes
from ..journal import Amendment, Cell, CellKey, Post, Store
from .grants import Grant
from .keeping import Keeping
from .sealed import Place

__all__ = ["WANTED_GRANT", "Waking"]

log = logging.getLogger("perdure.vault")

WANTED_GRANT = "wanted_grant"


class Waking:
    """Wakes runs whose grant is there."""

    def __init__(self, store: Store, keeping: Keeping) -> None:
        self._store = store
        self._keeping = keeping

    async def wake(self, grant: Grant) -> list[RunRef]:
        """Tell the runs that wait for a grant such as this one. Which those were."""
        place = grant.place
        told: list[RunRef] = []
        prefix = f"{place.provider}/{place.subject}/"
        async for key, cell in self._keeping.pages(WANTED_GRANT, tenant=place.tenant, prefix=prefix):
            if (ref := await self._tell(grant, key, cell)) is not None:
                told.append(ref)
        return told

    async def scopes(self, place: Place) -> list[str]:
        """What runs wait for, of one user with one provider."""
        return [str(scope) async for wanted in self._wanted(place) for scope in wanted.get("scopes") or ()]

    async def waiting(self, place: Place) -> list[str]:
        """The runs that wait for it, each once."""
        return list(dict.fromkeys([str(wanted.get("run")) async for wanted in self._wanted(place)]))

    async def sweep(self) -> list[RunRef]:
        """Tell all runs that wait for a grant which is there. Which those were."""
        told: list[RunRef] = []
        grants: dict[Place, Grant | None] = {}
        async for key, cell in self._keeping.pages(WANTED_GRANT):
            wanted = _read(cell)
            place = Place(key.tenant, str(wanted.get("subject")), str(wanted.get("provider")))
            if place not in grants:
                grants[place] = await self._keeping.get(place)
            if (grant := grants[place]) is not None and (
                ref := await self._tell(grant, key, cell)
            ) is not None:
                told.append(ref)
        return told

    async def _wanted(self, place: Place) -> AsyncIterator[Mapping[str, Any]]:
        prefix = f"{place.provider}/{place.subject}/"
        async for _, cell in self._keeping.pages(WANTED_GRANT, tenant=place.tenant, prefix=prefix):
            wanted = _read(cell)
            # The name may say less than it seems: users' names can hold a `/`.
            if (wanted.get("subject"), wanted.get("provider")) == (place.subject, place.provider):
                yield wanted

    async def _tell(self, grant: Grant, key: CellKey, cell: Cell) -> RunRef | None:
        wanted, place = _read(cell), grant.place
        if (wanted.get("subject"), wanted.get("provider")) != (place.subject, place.provider):
            return None
        newer_than = wanted.get("newer_than")
        if isinstance(newer_than, int) and grant.version <= newer_than:
            return None  # the other side did not take this one
        if grant.state == "dead" or missing_scopes(wanted.get("scopes") or (), grant.scopes):
            return None
        ref, step = RunRef(key.tenant, str(wanted["run"])), str(wanted["step"])
        body = {"provider": place.provider, "subject": place.subject, "version": grant.version}
        post = Post(
            ref=ref,
            kind="connected",
            name=step,
            id=f"connected {place.provider} {grant.version} {step}",
            sender=grant.by,
            body=pydantic_core.to_json(body),
        )
        fresh = True
        try:
            fresh = await self._store.post(post)
        except (RunEnded, UnknownRun):
            fresh = False
        await self._store.amend(Amendment((key,), _unless_changed(key, cell)))
        if fresh:
            log.info("run `%s` goes on: `%s` has connected `%s`", ref, place.subject, place.provider)
        return ref if fresh else None


def _read(cell: Cell) -> Mapping[str, Any]:
    try:
        told: Any = pydantic_core.from_json(cell.data)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}  # pyright: ignore[reportUnknownVariableType]  # JSON


def _unless_changed(key: CellKey, before: Cell) -> Any:
    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        return ({key: None} if cells.get(key) == before else {}), None

    return change
