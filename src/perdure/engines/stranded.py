"""Runs that are due and that no worker can run: found, told, and marked with why they wait."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from ..core.clock import Clock
from ..journal import Demand, Store, WaitReason, unserved

__all__ = ["Stranded", "why_stranded"]

log = logging.getLogger("perdure.worker")

BATCH = 500
"""Runs that are marked in one transaction."""

MOST_PAUSE_SECONDS = 60.0
"""Between two looks for runs to mark where all are marked: at first the patience, then twice the last."""


@dataclass(slots=True)
class _Lack:
    """A demand that nobody serves, in the eyes of this process. Times are monotonic seconds."""

    reason: WaitReason
    since: float
    told: bool = False
    pause: float = 0.0
    next: float = 0.0


class Stranded:
    """Looks for runs that no live worker can run.

    What nobody has served for `patience` seconds is told once, as an error in the log, and its runs say so in their
    rows. A deploy may take its workers down one after another: a moment without one is no reason for an alarm.
    """

    def __init__(self, store: Store, clock: Clock, *, patience: float) -> None:
        self._store = store
        self._clock = clock
        self._patience = patience
        self._lacks: dict[Demand, _Lack] = {}
        self._next = 0.0

    async def look(self) -> None:
        """Look, if it is time to: twice within the patience. Raises `StoreError`."""
        now = self._clock.monotonic()
        if now < self._next:
            return
        self._next = now + self._patience / 2
        demands = await self._store.demands()
        found = dict(unserved(demands, await self._store.sessions())) if demands else {}
        for demand in self._lacks.keys() - found.keys():
            log.info("%s is served again", _kind(demand))
            del self._lacks[demand]
        for demand, reason in found.items():
            lack = self._lacks.setdefault(demand, _Lack(reason, now))
            if lack.reason is not reason:
                lack = self._lacks[demand] = replace(lack, reason=reason, told=False, pause=0.0, next=0.0)
            if now - lack.since >= self._patience:
                await self._mark(demand, lack, now)

    async def _mark(self, demand: Demand, lack: _Lack, now: float) -> None:
        why = why_stranded(demand, lack.reason)
        if not lack.told:
            lack.told = True
            log.error("runs wait in vain: %s", why)
        if now < lack.next:
            return
        if await self._store.strand(demand, (lack.reason, why), limit=BATCH):
            lack.pause = lack.next = 0.0
            self._next = now  # there may be more: on with them, but let the worker claim in between
        else:
            lack.pause = min(max(lack.pause * 2, self._patience), MOST_PAUSE_SECONDS)
            lack.next = now + lack.pause


def why_stranded(demand: Demand, reason: WaitReason) -> str:
    """What is missing, and what to do about it, in a sentence."""
    if reason is WaitReason.NO_WORKER_FOR_NEEDS:
        labels = " ".join(f"--label {label}" for label in demand.needs)
        return (
            f"no worker that has agent `{demand.agent}` in version `{demand.version}` has the labels "
            f"`{' '.join(demand.needs)}`; start one with `perdure worker {labels}`"
        )
    return (
        f"no worker has agent `{demand.agent}` in version `{demand.version}`; deploy one that registers it, beside the "
        "new ones"
    )


def _kind(demand: Demand) -> str:
    needs = f" with `{' '.join(demand.needs)}`" if demand.needs else ""
    return f"agent `{demand.agent}` version `{demand.version}`{needs}"
