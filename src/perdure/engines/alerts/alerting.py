"""What raises alerts: a look at the store now and then, under a lease; and a watcher, for what has happened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from ...audit.fact import Fact
from ...core.alert_settings import AlertSettings
from ...core.errors import StoreError
from ...core.ids import DEFAULT_TENANT
from ...governance import Treasury
from ...governance.watching import Watch
from ...journal import Amendment, Cell, CellKey, Store
from .alert import Occurrence
from .conditions import of_approvals, of_budgets, of_memory, of_runs, of_workers
from .journal import AGENT
from .keeping import Alerts

__all__ = ["Alerting", "Endings"]

log = logging.getLogger("perdure.alerts")

LOOK_SECONDS = 5.0
LEASE_MICROS = 20_000_000
SELDOM = 6
"""Looks after which what may be much is looked at: questions, budgets."""

LEASE = CellKey(DEFAULT_TENANT, "alerting", "lease")


class Alerting:
    """Looks at the store; one process at a time does. `name` is of this one."""

    def __init__(
        self,
        store: Store,
        alerts: Alerts,
        settings: AlertSettings,
        treasury: Treasury,
        *,
        tenant: str,
        name: str,
    ) -> None:
        self._store = store
        self._alerts = alerts
        self._settings = settings
        self._treasury = treasury
        self._tenant = tenant
        self._name = name
        self._looks = 0
        self._seldom: Sequence[Occurrence] = ()

    async def run(self) -> None:
        """Look, raise, rest; for as long as the process lives."""
        while True:
            try:
                await self.tick()
            except StoreError as error:
                log.warning("alerts: %s; trying again later", error)
            except Exception:
                log.exception("a fault in alerting; it goes on")
            await asyncio.sleep(LOOK_SECONDS)

    async def tick(self, *, whenever: bool = False) -> bool:
        """One look, where it is ours to look. Whether it was."""
        if not whenever and not await self._store.amend(self._leased()):
            self._looks = 0
            return False
        if self._looks % SELDOM == 0 or whenever:
            self._seldom = [
                *await of_approvals(self._store, self._settings),
                *await of_memory(self._store, self._settings),
                *await of_budgets(self._treasury, self._settings, tenant=self._tenant),
            ]
        self._looks += 1
        found = [
            *await of_runs(self._store, self._settings),
            *await of_workers(self._store, self._settings),
        ]
        await self._alerts.hold([*found, *self._seldom])
        return True

    def _leased(self) -> Amendment:
        def change(there: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], bool]:
            cell, mine = there.get(LEASE), self._name.encode()
            if cell is not None and cell.data != mine and cell.due is not None and cell.due > now:
                return {}, False
            return {LEASE: Cell(mine, now + LEASE_MICROS)}, True

        return Amendment([LEASE], change)


_ENDED = {
    "escalated": ("run_escalated", "`{agent}` has handed a run to people"),
    "failed": ("run_failed", "a run of `{agent}` failed"),
    "partial": ("run_partial", "a run of `{agent}` has done only a part"),
    "quarantined": ("run_quarantined", "a run of `{agent}` killed its workers, and is quarantined"),
}


class Endings:
    """The watcher that raises alerts of what has happened: how runs ended, that a worker died, that nobody answers."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts

    async def __call__(self, watch: Watch, fact: Fact) -> None:
        """Look at one fact."""
        found = await self._found(watch, fact) if fact.agent != AGENT and not fact.taken_over else None
        if found is not None:
            await self._alerts.raise_(found)

    async def _found(self, watch: Watch, fact: Fact) -> Occurrence | None:
        run = fact.ref.id
        if fact.what == "run.ended" and fact.outcome in _ENDED:
            kind, says = _ENDED[fact.outcome]
            record = await watch.run()
            if record is not None and record.parent is not None and kind in ("run_failed", "run_partial"):
                return None  # its parent knows, and says what comes of it
            return self._occurrence(fact, kind, fact.agent, says.format(agent=fact.agent), fact.why or "")
        if fact.what == "run.claimed" and (deaths := fact.details.get("deaths_before")):
            why = f"run `{run}` was taken up again, after {deaths} in a row that ended like that"
            return self._occurrence(fact, "worker_lost", "workers", "a worker died while it had runs", why)
        if fact.what == "escalation.unanswered":
            why = fact.why or ""
            return self._occurrence(
                fact, "escalation_unanswered", fact.agent, f"nobody has taken run `{run}`", why
            )
        return None

    @staticmethod
    def _occurrence(fact: Fact, kind: str, about: str, subject: str, why: str) -> Occurrence:
        return Occurrence(
            kind=kind,
            tenant=fact.ref.tenant,
            about=about,
            subject=subject,
            why=why,
            runs=(fact.ref.id,),
            cause=f"{fact.ref.id}/{fact.seq}",
        )
