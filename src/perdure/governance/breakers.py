"""Circuit breakers that all workers of a store share.

What is closed costs nothing: a process knows the breakers that have something to remember, reads them all once a
second, at the first call after that second, and a call of any other is not looked at. So what one worker opens, the
others see within a second; and the store is asked only where a breaker is half open, or where there is a failure to
write, or to clear.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.clock import Clock
from ..core.errors import StoreError
from ..core.failures import Diagnosis, FailureClass
from ..journal import Amendment, Cell, CellKey, Store
from .breaker import (
    Breaker,
    BreakerState,
    Phase,
    admit,
    after_failure,
    after_silence,
    after_success,
    ask_again_at,
    phase,
)

__all__ = ["Admitted", "BreakerRecord", "Breakers", "Open"]

KIND = "breaker"
FRESH = 1.0
"""Seconds for which what was read of the others' breakers is good."""

ANSWERED = frozenset({FailureClass.REFUSED, FailureClass.CONTEXT_EXCEEDED, FailureClass.INVALID_OUTPUT})
"""After these the receiver was there: it is as good as a success. A `permanent` error may not have reached it."""

PAGE = 1000

log = logging.getLogger("perdure.run")

_Change = Callable[[BreakerState | None, int], tuple[BreakerState | None, Any]]


@dataclass(frozen=True, slots=True)
class Admitted:
    """The call may go. Hand this to `succeeded` or `failed`."""

    key: CellKey
    policy: Breaker
    by: str
    probe: int | None = None
    """of a half-open breaker: when this call was given the probe (microseconds, the store's clock)"""


@dataclass(frozen=True, slots=True)
class Open:
    """The call may not go. Times are microseconds on the store's clock."""

    name: str
    until: int
    """when to ask again"""
    since: int
    why: str
    """the last failure"""
    failures: int
    """since it opened, those that opened it included"""


@dataclass(frozen=True, slots=True)
class BreakerRecord:
    """One breaker, as operators see it."""

    tenant: str
    name: str
    phase: Phase
    state: BreakerState


class Breakers:
    """The breakers of one process. Belongs to one loop."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[CellKey, BreakerState] = {}
        self._read_at: float | None = None
        self._reading: asyncio.Task[None] | None = None
        self._written: set[CellKey] = set()
        """since the reading that is under way began: it may have missed these"""

    async def admit(self, tenant: str, name: str, policy: Breaker, *, by: str) -> Admitted | Open:
        """Whether a call may go now.

        Args:
            tenant: whose breaker.
            name: what is called: a tool, or a model with its endpoint.
            policy: how the breaker works; of each call its own, so that a new one holds at once.
            by: who calls; no two calls at once by the same name.
        """
        key = CellKey(tenant, KIND, name)
        if self._read_at is None or self._clock.monotonic() - self._read_at >= FRESH:
            await self._read()
        known = self._known.get(key)
        if known is None or known.until is None:
            return Admitted(key, policy, by)
        now = self._store.now()
        if phase(known, now) == "open":
            return _turned_away(key, known, now)

        def change(state: BreakerState | None, at: int) -> tuple[BreakerState | None, Admitted | Open]:
            after, goes, probes = admit(state, policy, at, by)
            if goes:
                return after, Admitted(key, policy, by, at if probes else None)
            assert after is not None
            return after, _turned_away(key, after, at)

        return await self._amend(key, policy, change)

    async def succeeded(self, admitted: Admitted) -> None:
        """The call went well. Nothing is written where there is nothing to clear."""
        key = admitted.key
        if admitted.probe is None:
            known = self._known.get(key)
            if known is None or known.until is not None:
                return
        await self._amend(
            key,
            admitted.policy,
            lambda state, now: (after_success(state, now, by=admitted.by, probe=admitted.probe), None),
        )

    async def failed(self, admitted: Admitted, diagnosis: Diagnosis) -> None:
        """The call failed. What does not count against the receiver is as good as a success, or says nothing."""
        key, policy, by, probe = admitted.key, admitted.policy, admitted.by, admitted.probe
        if diagnosis.failure not in policy.on:
            if diagnosis.failure in ANSWERED:
                await self.succeeded(admitted)
            elif probe is not None:
                await self._amend(
                    key, policy, lambda state, now: (after_silence(state, now, by=by, probe=probe), None)
                )
            return
        known = self._known.get(key)
        if probe is None and known is not None and phase(known, self._store.now()) == "open":
            return
        wait = int((diagnosis.retry_after or 0) * 1e6)

        def change(state: BreakerState | None, now: int) -> tuple[BreakerState | None, bool]:
            after = after_failure(state, policy, now, by=by, probe=probe, why=diagnosis.why, wait=wait)
            opened = phase(state, now) == "closed" and phase(after, now) == "open"
            return after, opened

        if await self._amend(key, policy, change):
            log.warning(
                "breaker `%s` of tenant %s is open: %d failures in a row (%s); calls are turned away until a probe "
                "in %s succeeds",
                key.name, key.tenant, policy.failures, diagnosis.why, policy.open_for,
            )  # fmt: skip

    async def ls(self, tenant: str | None = None) -> list[BreakerRecord]:
        """Those that have something to remember, of a tenant or of all: open, half open, or with recent failures."""
        now = self._store.now()
        return [
            BreakerRecord(key.tenant, key.name, phase(state, now), state)
            for key, state in (await self._scan(tenant)).items()
        ]

    async def close(self, tenant: str, name: str) -> bool:
        """Close it by hand, whatever was seen. False: there was nothing to close, nor to forget."""
        key = CellKey(tenant, KIND, name)
        return await self._amend(key, Breaker(), lambda state, now: (None, state is not None))

    # ---------------------------------------------------------------------------------------------------------------

    async def _amend(self, key: CellKey, policy: Breaker, change: _Change) -> Any:
        def apply(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            before = BreakerState.read(cells[key].data) if key in cells else None
            after, result = change(before, now)
            if after == before:
                return {}, (after, result)
            return {key: None if after is None else Cell(after.data, after.due(policy))}, (after, result)

        after, result = await self._store.amend(Amendment([key], apply))
        self._written.add(key)
        if after is None:
            self._known.pop(key, None)
        else:
            self._known[key] = after
        return result

    async def _read(self) -> None:
        """Look at what the others know; one reading for all who ask meanwhile."""
        if self._reading is None:
            self._written.clear()
            self._reading = asyncio.create_task(self._refresh())
        await asyncio.shield(self._reading)

    async def _refresh(self) -> None:
        began = self._clock.monotonic()
        try:
            found = await self._scan(None)
        except StoreError as error:
            # A breaker is there to spare a receiver: a call does not fail because of it.
            log.warning(
                "the breakers of other workers could not be read (%s): going by what is known here", error
            )
        else:
            for key in self._written:
                found.pop(key, None)
                if key in self._known:
                    found[key] = self._known[key]
            self._known = found
        finally:
            self._read_at = began
            self._reading = None

    async def _scan(self, tenant: str | None) -> dict[CellKey, BreakerState]:
        found: dict[CellKey, BreakerState] = {}
        after: CellKey | None = None
        while True:
            page = await self._store.cells(KIND, tenant=tenant, after=after, limit=PAGE)
            found |= {key: BreakerState.read(cell.data) for key, cell in page}
            if len(page) < PAGE:
                return found
            after = page[-1][0]


def _turned_away(key: CellKey, state: BreakerState, now: int) -> Open:
    return Open(key.name, ask_again_at(state, now), state.since or now, state.why, state.count)
