"""Claims in PostgreSQL: which runs are ready for whom, who is there, and what waits for nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ...journal import Demand, Serves, Session, SessionRecord
from .. import fair
from ..about import coded_about, session_record
from ..fair import Ask, Lane, Places, Rota
from ..restored import refuse_restored
from . import queries
from .batch import BatchWriter
from .connection import Link
from .origin import kept_origin, origin_of
from .rows import Row

__all__ = ["AGAIN_SECONDS", "ClaimRows", "Claiming"]

T = TypeVar("T")

PROMOTED = 1000
"""Runs whose time has come that one claim makes ready, at most."""

AGAIN_SECONDS = 0.02
"""After this a claim is tried again that found another at the same limits."""


class ClaimRows:
    """The part of `PostgresStore` that knows the fleet."""

    if TYPE_CHECKING:
        _name: str

        def now(self) -> int: ...  # noqa: D102  # the store's
        def _values(self, **values: Any) -> dict[str, Any]: ...
        def _change(
            self, function: Callable[[BatchWriter], T], *, news: bool = True
        ) -> asyncio.Future[T]: ...
        async def _query(self, function: Callable[[Link], T]) -> T: ...

    async def register(self, session: Session) -> None:
        """Begin a session, leased from now."""
        about = coded_about(session, self.now())
        values = {"session": session.id, "label": session.label, "lease": session.lease, "about": about}

        def run(w: BatchWriter) -> tuple[str, str]:
            now = origin_of(w.link)
            was = kept_origin(w.link, now)
            if was == now:
                w.link.execute(queries.REGISTER, self._values(**values))
            return was, now

        was, now = await self._change(run, news=False)
        refuse_restored(self._name, was=was, now=now)

    async def next_timer(self) -> int | None:
        """When the next run comes due that is not ready yet."""
        row = await self._query(lambda c: c.execute(queries.NEXT_TIMER).fetchone())
        return None if row is None else row[0]

    async def sessions(self) -> list[SessionRecord]:
        """Sessions whose lease has not ended, the oldest first."""
        rows = await self._query(lambda c: c.execute(queries.SESSIONS, self._values()).fetchall())
        return sorted((session_record(*row) for row in rows), key=lambda s: (s.since, s.id))

    async def demands(self, *, counted: bool = False) -> list[Demand]:
        """What waits for workers."""
        sql, values = (queries.COUNT_DEMANDS, self._values()) if counted else (queries.DEMANDS, None)
        rows = await self._query(lambda c: c.execute(sql, values).fetchall())
        return sorted(
            (Demand(agent, version, tuple(needs.split()), *more) for agent, version, needs, *more in rows),
            key=lambda d: (d.agent, d.version, d.needs),
        )

    async def strand(self, demand: Demand, reasons: Sequence[str], *, limit: int) -> int:
        """Write why they wait on due runs that do not say so yet."""
        values = {
            "agent": demand.agent,
            "version": demand.version,
            "needs": " ".join(demand.needs),
            "reasons": [json.dumps(reason) for reason in reasons],
            "limit": limit,
        }
        return await self._change(lambda w: w.link.execute(queries.STRAND, values).rowcount)


class Claiming:
    """One claim, in the writer's transaction.

    Who claims for an agent or a tenant with limits holds a lock on them until the transaction has ended, so that two do
    not take the last place. Nobody waits for such a lock: while another claims there, this one takes nothing, `again`
    says that it should be tried again, and a transaction that holds rows never waits for one that wants them.
    """

    def __init__(
        self,
        link: Link,
        session: str,
        serves: Sequence[Serves],
        *,
        labels: frozenset[str],
        tenant_limit: int | None,
        now: int | None,
    ) -> None:
        self._link = link
        self._session = session
        self._serves = serves
        self._labels = labels
        self._tenant_limit = tenant_limit
        self._now = now
        self._places = Places(serves, tenant_limit, {})
        self.again = False

    def begin(self) -> Row | None:
        """Hold the session, make ready whose time has come. The row ends with the time; None: the session is gone."""
        limited = sorted(
            {of.agent for of in self._serves if of.limit is not None or of.limit_per_tenant is not None}
        )
        wanted = [f"agent {agent}" for agent in limited]
        if self._tenant_limit is not None:
            wanted.append("tenants")
        values = {"session": self._session, "now": self._now, "promoted": PROMOTED, "wanted": wanted}
        row = self._link.execute(queries.BEGIN_CLAIM, values).fetchone()
        if row is None or not wanted:
            return row
        missed = set(wanted).difference(row[0] or ())
        self.again = bool(missed)
        if "tenants" in missed:
            self._serves = ()
        self._serves = [of for of in self._serves if f"agent {of.agent}" not in missed]
        agents = None if self._tenant_limit is not None else limited
        running = self._link.execute(queries.RUNNING, {"agents": agents}).fetchall()
        counts = {(agent, tenant): runs for agent, tenant, runs in running}
        self._places = Places(self._serves, self._tenant_limit, counts)
        return row

    def pick(self, rota: Rota, limit: int) -> list[Row]:
        """Claim ready runs: their rows after the claim."""
        if not self._serves:
            return []
        return fair.pick(limit, rota=rota, places=self._places, walk=self._walk, take=self._take)

    def _walk(self, after: Lane | None, count: int) -> list[Lane]:
        starts = fair.stretches([of for of in self._serves if self._places.open(of.agent)], after)
        if not starts:
            return []
        values = {**_columns(starts), "labels": sorted(self._labels), "limit": count}
        found = self._link.execute(queries.WALK, values).fetchall()
        # Each stretch is walked in order, and a sort keeps that.
        found.sort(key=lambda row: row[0])
        return [starts[int(n) - 1]._replace(needs=needs, tenant=tenant) for n, needs, tenant in found]

    def _take(self, asks: Sequence[Ask]) -> list[list[Row]]:
        values = {
            **_columns([ask.lane for ask in asks]),
            "runs": [ask.runs for ask in asks],
            "session": self._session,
            "now": self._now,
        }
        taken: dict[Lane, list[Row]] = {ask.lane: [] for ask in asks}
        found = self._link.execute(queries.CLAIM_READY, values).fetchall()
        for row in sorted(found, key=lambda row: row[-1]):  # `returning` keeps no order
            taken[Lane(*(row[at] for at in queries.LANE_AT))].append(row[:-1])
        return list(taken.values())


def _columns(lanes: Sequence[Lane]) -> dict[str, list[str]]:
    return {
        "agents": [lane.agent for lane in lanes],
        "versions": [lane.version for lane in lanes],
        "needs": [lane.needs for lane in lanes],
        "tenants": [lane.tenant for lane in lanes],
    }
