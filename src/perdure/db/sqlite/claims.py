"""Claims in SQLite: which runs are ready for whom, who is there, and what waits for nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ...journal import Cell, Demand, Serves, Session, SessionRecord
from .. import fair
from ..about import coded_about, session_record
from ..fair import Ask, Lane, Places, Rota
from ..restored import ORIGIN, refuse_restored, told_of
from . import queries
from .batch import BatchWriter
from .connection import Connection, Row

__all__ = ["ClaimRows", "claim_ready"]

T = TypeVar("T")

PROMOTED = 1000
"""Runs whose time has come that one claim makes ready, at most."""


class ClaimRows:
    """The part of `SqliteStore` that knows the fleet."""

    if TYPE_CHECKING:
        path: str

        def now(self) -> int: ...  # noqa: D102  # the store's
        def _change(
            self, function: Callable[[BatchWriter], T], *, news: bool = True
        ) -> asyncio.Future[T]: ...
        async def _query(self, function: Callable[[Connection], T]) -> T: ...

    async def register(self, session: Session) -> None:
        """Begin a session, leased from now."""

        def run(w: BatchWriter) -> str:
            kept = w.connection.execute(queries.GET_CELL, ORIGIN).fetchone()
            if kept is not None:
                return told_of(Cell(kept[0]))
            now = self.now()
            about = coded_about(session, now)
            values = (session.id, session.label, session.lease, now + session.lease, about)
            w.connection.execute(queries.REGISTER, values)
            return ""

        refuse_restored(self.path, was=await self._change(run, news=False), now="")

    async def next_timer(self) -> int | None:
        """When the next run comes due that is not ready yet."""
        return await self._query(lambda c: c.execute(queries.NEXT_TIMER).get)

    async def sessions(self) -> list[SessionRecord]:
        """Sessions whose lease has not ended, the oldest first."""
        now = self.now()
        rows = await self._query(lambda c: c.execute(queries.SESSIONS, (now,)).fetchall())
        return sorted((session_record(*row) for row in rows), key=lambda s: (s.since, s.id))

    async def demands(self, *, counted: bool = False) -> list[Demand]:
        """What waits for workers."""
        if counted:
            now = self.now()
            rows = await self._query(lambda c: c.execute(queries.COUNT_DEMANDS, (now,)).fetchall())
        else:
            rows = await self._query(_demands)
        return [Demand(agent, version, tuple(needs.split()), *more) for agent, version, needs, *more in rows]

    async def strand(self, demand: Demand, reasons: Sequence[str], *, limit: int) -> int:
        """Write why they wait on due runs that do not say so yet."""
        values = (
            demand.agent,
            demand.version,
            " ".join(demand.needs),
            json.dumps(list(reasons)),
            reasons[0],
            limit,
        )

        def run(w: BatchWriter) -> int:
            w.connection.execute(queries.STRAND, values)
            return w.connection.changes()

        return await self._change(run)


def _demands(c: Connection) -> list[Row]:
    found: list[Row] = []
    row = c.execute(queries.NEXT_DEMAND, ("", "", "")).fetchone()
    while row is not None:
        found.append(row)
        row = c.execute(queries.NEXT_DEMAND, row).fetchone()
    return found


def claim_ready(
    c: Connection,
    rota: Rota,
    session: str,
    serves: Sequence[Serves],
    *,
    limit: int,
    labels: frozenset[str],
    tenant_limit: int | None,
    now: int,
) -> list[Row]:
    """Claim ready runs, in the writer's transaction: their rows after the claim."""
    c.execute(queries.PROMOTE, (now, PROMOTED))
    running: dict[tuple[str, str], int] = {}
    if Places.limited(serves, tenant_limit):
        running = {(agent, tenant): runs for agent, tenant, runs in c.execute(queries.RUNNING)}
    places = Places(serves, tenant_limit, running)

    def walk(after: Lane | None, count: int) -> list[Lane]:
        found: list[Lane] = []
        for start in fair.stretches([of for of in serves if places.open(of.agent)], after):
            lane = _next_lane(c, start, labels)
            while lane is not None and len(found) < count:
                found.append(lane)
                lane = _next_lane(c, lane, labels)
        return found

    def take(asks: Sequence[Ask]) -> list[list[Row]]:
        taken: list[list[Row]] = []
        for lane, runs in asks:
            rids = c.execute(queries.READY, (*lane, runs)).fetchall()
            rows = (c.execute(queries.CLAIM, (session, now, rid)).fetchone() for (rid,) in rids)
            taken.append([row for row in rows if row is not None])
        return taken

    return fair.pick(limit, rota=rota, places=places, walk=walk, take=take)


def _next_lane(c: Connection, after: Lane, labels: frozenset[str]) -> Lane | None:
    """The next lane of the same agent and version that a worker with these labels can serve."""
    agent, version, needs, tenant = after
    row = c.execute(queries.NEXT_TENANT, after).fetchone() if fair.can_serve(needs, labels) else None
    if row is not None:
        return Lane(agent, version, needs, row[0])
    while (row := c.execute(queries.NEXT_NEEDS, (agent, version, needs)).fetchone()) is not None:
        needs, tenant = row
        if fair.can_serve(needs, labels):
            return Lane(agent, version, needs, tenant)
    return None
