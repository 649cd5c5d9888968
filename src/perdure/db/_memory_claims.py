"""Claims of the store in memory: which runs are ready for whom, who is there, and what waits for nobody."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..journal.fleet import Demand, Serves, Session, SessionRecord
from ..journal.state import RunStatus
from . import fair
from ._memory_run import MemoryRun
from .fair import Ask, Lane, Places, Rota

__all__ = ["MemoryClaims"]


class MemoryClaims:
    """The part of `MemoryStore` that knows the fleet."""

    if TYPE_CHECKING:
        _lock: threading.RLock
        _runs: dict[int, MemoryRun]

        def now(self) -> int: ...
        def _held(self, session: str) -> list[MemoryRun]: ...
        def _tell(self) -> None: ...

    def __init__(self) -> None:
        self._sessions: dict[str, SessionRecord] = {}
        self._rota = Rota()

    async def register(self, session: Session) -> None:
        """Begin a session, leased from now."""
        with self._lock:
            now = self.now()
            self._sessions[session.id] = SessionRecord(
                id=session.id,
                label=session.label,
                agents=session.agents,
                labels=session.labels,
                concurrency=session.concurrency,
                since=now,
                expires=now + session.lease,
                runs=0,
            )

    async def next_timer(self) -> int | None:
        """When the next run comes due that is not ready yet."""
        with self._lock:
            waits = (run.row.next_wake for run in self._runs.values() if not run.ready)
            return min((at for at in waits if at is not None), default=None)

    async def sessions(self) -> list[SessionRecord]:
        """Sessions whose lease has not ended, the oldest first."""
        with self._lock:
            now = self.now()
            live = [s for s in self._sessions.values() if s.expires > now]
            live.sort(key=lambda s: (s.since, s.id))
            return [replace(s, runs=len(self._held(s.id))) for s in live]

    async def demands(self, *, counted: bool = False) -> list[Demand]:
        """What waits for workers."""
        with self._lock:
            now = self.now()
            found: dict[tuple[str, str, str], list[int]] = {}
            for run in self._runs.values():
                row = run.row
                if row.next_wake is not None and (run.ready or (counted and row.next_wake <= now)):
                    found.setdefault((row.agent, row.version, " ".join(row.needs)), []).append(row.next_wake)
            return [
                Demand(agent, version, tuple(needs.split()), *((len(times), min(times)) if counted else ()))
                for (agent, version, needs), times in sorted(found.items())
            ]

    async def strand(self, demand: Demand, reasons: Sequence[str], *, limit: int) -> int:
        """Write why they wait on due runs that do not say so yet."""
        with self._lock:
            found = [
                run
                for run in sorted(self._runs.values(), key=_turn)
                if run.ready
                and (run.row.agent, run.row.version, run.row.needs)
                == (demand.agent, demand.version, demand.needs)
                and run.row.reasons[:1] != (reasons[0],)
            ][:limit]
            for run in found:
                run.row = replace(run.row, reasons=tuple(reasons))
            self._tell()
            return len(found)

    def _claim_ready(
        self,
        session: str,
        serves: Sequence[Serves],
        limit: int,
        labels: frozenset[str],
        tenant_limit: int | None,
    ) -> list[MemoryRun]:
        now = self.now()
        running: Counter[tuple[str, str]] = Counter()
        lanes: dict[Lane, list[MemoryRun]] = {}
        for run in self._runs.values():
            row = run.row
            if row.status is RunStatus.RUNNING:
                running[row.agent, row.ref.tenant] += 1
            if row.next_wake is not None and row.next_wake <= now:
                run.ready = True
            if run.ready:
                lane = Lane(row.agent, row.version, " ".join(row.needs), row.ref.tenant)
                lanes.setdefault(lane, []).append(run)
        for runs in lanes.values():
            runs.sort(key=_turn)
        places = Places(serves, tenant_limit, running)

        def walk(after: Lane | None, count: int) -> list[Lane]:
            found: list[Lane] = []
            for start in fair.stretches([of for of in serves if places.open(of.agent)], after):
                found += sorted(
                    lane
                    for lane, runs in lanes.items()
                    if runs and lane[:2] == start[:2] and lane > start and fair.can_serve(lane.needs, labels)
                )
            return found[:count]

        def take(asks: Sequence[Ask]) -> list[list[MemoryRun]]:
            taken = [lanes[lane][:runs] for lane, runs in asks]
            for lane, runs in asks:
                del lanes[lane][:runs]
            return taken

        picked = fair.pick(limit, rota=self._rota, places=places, walk=walk, take=take)
        for run in picked:
            run.claim(session, now)
        return picked


def _turn(run: MemoryRun) -> tuple[str, int, int, int]:
    row = run.row
    return row.ref.tenant, -row.priority, row.next_wake or 0, row.rid
