"""How the fleet is: who works, what waits and since when, what is broken, and how far behind the projections are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..app import App
from ..context import Standing, Standings
from ..engines.stranded import why_stranded
from ..governance import BreakerRecord, Breakers
from ..journal import (
    OWN_AGENTS,
    Demand,
    Overdue,
    RunQuery,
    RunRecord,
    RunStatus,
    SessionRecord,
    TallyColumn,
    TallyQuery,
    unserved,
)
from ..telemetry import Tally, tallied

__all__ = ["Health", "Lag", "Limited", "Queue", "Stranded", "health"]

QUARANTINED = 20
"""Of runs in quarantine at most so many are named."""

_RATE_LIMITS = "rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Runs of one kind that are due and wait for a worker."""

    agent: str
    version: str
    needs: Sequence[str]
    runs: int
    since: int | None
    """when the longest due came due; microseconds"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranded:
    """Runs that are due, and that nobody who is there can run."""

    queue: Queue
    reason: str
    why: str
    """with what to do"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """A rate limit with a queue: calls go on when its place has come."""

    tenant: str
    name: str
    until: int
    """when the queue ends; microseconds"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far the views are behind the journals."""

    unsequenced: int
    """runs whose heads the audit log does not hold yet"""
    since: int | None
    """when the first of them moved; microseconds"""
    unfolded: int
    """leaves of the audit log that were not folded into figures yet"""
    leaves: int
    rebuilding: float | None
    """the part of a rebuild that is done, from 0 to 1; None: none is under way"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """All of it, at one moment."""

    now: int
    """microseconds, by the store's clock"""
    workers: Sequence[SessionRecord]
    queues: Sequence[Queue]
    stranded: Sequence[Stranded]
    standing: Mapping[str, int]
    """how many runs of the tenant stand so: `pending`, `running`, `waiting:approval` and so on; as far as is folded"""
    overdue_approvals: int
    quarantined: int
    in_quarantine: Sequence[RunRecord]
    """the newest of them"""
    breakers: Sequence[BreakerRecord]
    limits: Sequence[Limited]
    lag: Lag
    servers: Sequence[Standing] = ()
    """MCP servers that were used, and how the worker that did so last has found them"""

    @property
    def queued(self) -> int:
        """Runs that are due."""
        return sum(queue.runs for queue in self.queues)

    @property
    def queued_since(self) -> int | None:
        """When the longest due of all came due."""
        return min((q.since for q in self.queues if q.since is not None), default=None)


async def health(app: App, *, tenant: str | None) -> Health:
    """How the fleet is, and the runs of a tenant (None: of all)."""
    await app.open()
    store = app.store
    sessions = await store.sessions()
    demands = await store.demands(counted=True)
    now = store.now()
    place = await store.projected()
    log_lag = await store.log_lag()
    held = RunQuery(tenant=tenant, statuses=frozenset({RunStatus.QUARANTINED}), own=False, limit=QUARANTINED)
    where: dict[TallyColumn, Sequence[str]] = {"what": ["standing"]}
    if tenant is not None:
        where["tenant"] = [tenant]
    standing = await tallied(store, TallyQuery(by=("name", "agent"), where=where))
    breakers = await Breakers(store, app.clock).ls(tenant)
    limits = await store.cells(_RATE_LIMITS, tenant=tenant)
    return Health(
        now=now,
        workers=sessions,
        queues=sorted((_queue(d) for d in demands), key=lambda q: (q.since or now, q.agent, q.version)),
        stranded=[
            Stranded(queue=_queue(d), reason=reason.value, why=why_stranded(d, reason))
            for d, reason in unserved(demands, sessions)
        ],
        standing=_standing(standing),
        overdue_approvals=await store.count_approvals(tenant=tenant, overdue=Overdue(now)),
        quarantined=await store.count(held),
        in_quarantine=await store.find(held),
        breakers=breakers,
        limits=[
            Limited(tenant=key.tenant, name=key.name, until=cell.due)
            for key, cell in limits
            if cell.due is not None and cell.due > now
        ],
        servers=[one for _, one in sorted((await Standings(store).ls(tenant)).items())],
        lag=Lag(
            unsequenced=log_lag.runs,
            since=log_lag.since,
            unfolded=place.behind,
            leaves=place.size,
            rebuilding=None if place.until is None else (place.cursor + 1) / (place.until + 1),
        ),
    )


def _standing(found: Sequence[tuple[tuple[str | int, ...], Tally]]) -> Mapping[str, int]:
    """How many runs stand so, but for Perdure's own."""
    counts: dict[str, int] = {}
    for (name, agent), tally in found:
        if agent not in OWN_AGENTS:
            counts[str(name)] = counts.get(str(name), 0) + tally.n
    return counts


def _queue(demand: Demand) -> Queue:
    return Queue(
        agent=demand.agent,
        version=demand.version,
        needs=demand.needs,
        runs=demand.runs or 0,
        since=demand.since,
    )
