"""Sends the audit log's checkpoints away on a schedule. Each place is served by one worker at a time, under a lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pydantic_core

from ..audit import VerifierKey, newest_checkpoint
from ..audit.destinations import Place, Witness, destination_of
from ..audit.exports import cosigned, sent
from ..core.audit_settings import AuditSettings
from ..core.clock import to_micros
from ..core.errors import ConfigError, StoreCorrupt, StoreError
from ..core.ids import DEFAULT_TENANT
from ..journal import Amendment, Cell, CellKey, Store

__all__ = ["KIND", "CheckpointExporter", "Sent", "exports"]

log = logging.getLogger("perdure.audit")

KIND = "audit_export"
"""Of the cells that say what was sent where."""

LOOK_SECONDS = 5.0
LEASE_MICROS = 90_000_000
"""Longer than sending takes: then another worker tries."""
RETRY_MICROS = 30_000_000

Sent = dict[str, Any]
"""What is known of a place: `size` and `at` of what was sent last, `error` of the last try."""


class CheckpointExporter:
    """Sends the newest checkpoint to each place, as often as is set."""

    def __init__(
        self,
        store: Store,
        places: Sequence[Place | Witness],
        *,
        every: timedelta,
        witnesses: Sequence[VerifierKey] = (),
    ) -> None:
        self._store = store
        self._places = places
        self._every = to_micros(every)
        self._witnesses = witnesses

    @classmethod
    def of(cls, store: Store, settings: AuditSettings) -> CheckpointExporter:
        """As `perdure.toml` says. Raises `ConfigError`."""
        places = [destination_of(text, settings) for text in settings.to]
        keys = [VerifierKey.parse(text) for text in settings.witnesses]
        return cls(store, places, every=settings.every, witnesses=keys)

    async def run(self) -> None:
        """Look, send, rest; for as long as the worker works."""
        while True:
            try:
                await self.tick()
            except StoreError as error:
                log.warning("checkpoints: %s; trying again later", error)
            except Exception:
                log.exception("a fault in the exporter of checkpoints; it goes on")
            await asyncio.sleep(min(LOOK_SECONDS, self._every / 1e6))

    async def tick(self) -> None:
        """Send what is due. Before the first checkpoint nothing is: it is sent as soon as it is there."""
        if await newest_checkpoint(self._store) is None:
            return
        there = {key.name: cell for key, cell in await self._store.cells(KIND, tenant=DEFAULT_TENANT)}
        now = self._store.now()
        for place in self._places:
            cell = there.get(place.name)
            if cell is None or cell.due is None or cell.due <= now:
                state = await self._store.amend(_taken(place.name))
                if state is not None:
                    await self._send(place, state)

    async def send_all(self) -> dict[str, Sent]:
        """Send to every place now, whatever is due; what came of it, by place."""
        found: dict[str, Sent] = {}
        for place in self._places:
            state = await self._store.amend(_taken(place.name, whenever=True))
            found[place.name] = await self._send(place, state or {})
        return found

    async def _send(self, place: Place | Witness, state: Sent) -> Sent:
        kept = await newest_checkpoint(self._store)
        after: Sent = {**state, "error": None}
        due = self._every
        if kept is not None:
            try:
                if isinstance(place, Witness):
                    old = state.get("size") or 0
                    signed = await cosigned(self._store, place, kept, old=old, keys=self._witnesses)
                    after["signed_by"] = sorted({s.name for s in signed})
                else:
                    await sent(self._store, place, kept)
                after |= {"size": kept.size, "at": self._store.now()}
            except (StoreError, ConfigError) as error:
                after["error"] = str(error)
                due = min(self._every, RETRY_MICROS)
                if isinstance(error, StoreCorrupt):
                    log.critical("THE AUDIT LOG IS NOT WHAT WAS SENT: %s", error)
                else:
                    log.error("a checkpoint was not sent: %s", error)
        await self._store.amend(_told(place.name, after, due))
        return after


async def exports(store: Store) -> dict[str, Sent]:
    """What is known of each place that checkpoints were sent to."""
    found = await store.cells(KIND, tenant=DEFAULT_TENANT)
    return {key.name: pydantic_core.from_json(cell.data) for key, cell in found}


def _key(name: str) -> CellKey:
    return CellKey(DEFAULT_TENANT, KIND, name)


def _taken(name: str, *, whenever: bool = False) -> Amendment:
    """Take a place under a lease; the result is what is known of it, None: it is not due, or somebody has it."""
    key = _key(name)

    def change(there: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Sent | None]:
        cell = there.get(key)
        if cell is not None and cell.due is not None and cell.due > now and not whenever:
            return {}, None
        data = b"{}" if cell is None else cell.data
        return {key: Cell(data, now + LEASE_MICROS)}, pydantic_core.from_json(data)

    return Amendment([key], change)


def _told(name: str, state: Sent, after: int) -> Amendment:
    key = _key(name)
    data = pydantic_core.to_json(state)
    return Amendment([key], lambda there, now: ({key: Cell(data, now + after)}, None))
