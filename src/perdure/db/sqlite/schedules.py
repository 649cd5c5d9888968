"""Schedules in SQLite: their rows, and which sessions declare them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from ...journal import NewRun, Post, ScheduleRecord
from .batch import BatchWriter
from .connection import Connection, Row

__all__ = ["ScheduleRows"]

T = TypeVar("T")

COLUMNS = "tenant, name, agent, spec, state, next, last, last_run, paused, revision"
LIST = f"select {COLUMNS} from schedules where ?1 is null or tenant = ?1 order by tenant, name"
ADD = f"insert or ignore into schedules ({COLUMNS}) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 + 1)"
CHANGE = """
    update schedules set agent = ?3, spec = ?4, state = ?5, next = ?6, last = ?7, last_run = ?8, paused = ?9,
        revision = ?10 + 1
    where tenant = ?1 and name = ?2 and revision = ?10
"""
REMOVE = "delete from schedules where tenant = ? and name = ?"
FORGET = """
    delete from declarations
    where (tenant = ?1 and session = ?2) or not exists (select 1 from sessions s where s.id = session)
"""
DECLARE = "insert into declarations (tenant, name, session, digest) values (?, ?, ?, ?)"
DECLARED = """
    select name, digest from declarations d join sessions s on s.id = d.session where tenant = ? and s.expires > ?
"""


class ScheduleRows:
    """The part of `SqliteStore` that keeps schedules."""

    if TYPE_CHECKING:

        def now(self) -> int: ...  # noqa: D102  # the store's
        def _change(
            self, function: Callable[[BatchWriter], T], *, news: bool = True
        ) -> asyncio.Future[T]: ...
        async def _query(self, function: Callable[[Connection], T]) -> T: ...

    async def schedules(self, *, tenant: str | None = None) -> list[ScheduleRecord]:
        """All schedules, by tenant and name."""
        return [_record(row) for row in await self._query(lambda c: c.execute(LIST, (tenant,)).fetchall())]

    async def write_schedule(
        self, record: ScheduleRecord, *, runs: Sequence[NewRun] = (), posts: Sequence[Post] = ()
    ) -> bool:
        """Write the row where its revision is still that of `record`, accept runs and deliver posts with it."""
        fresh = os.urandom(32)
        values = (
            record.tenant,
            record.name,
            record.agent,
            record.spec,
            record.state,
            record.next,
            record.last,
            record.last_run,
            record.paused,
            record.revision,
        )

        def run(w: BatchWriter) -> bool:
            w.connection.execute(CHANGE if record.revision else ADD, values)
            if w.connection.changes() == 0:
                return False
            for new in runs:
                w.add_run(new, fresh)
            for post in posts:
                w.deliver(post)
            return True

        return await self._change(run)

    async def remove_schedule(self, tenant: str, name: str) -> bool:
        """Delete the row."""

        def run(w: BatchWriter) -> bool:
            w.connection.execute(REMOVE, (tenant, name))
            return w.connection.changes() == 1

        return await self._change(run)

    async def declare_schedules(self, session: str, tenant: str, digests: Mapping[str, str]) -> None:
        """What the code of this session declares; rows of sessions that are gone are swept out with it."""

        def run(w: BatchWriter) -> None:
            w.connection.execute(FORGET, (tenant, session))
            for name, digest in digests.items():
                w.connection.execute(DECLARE, (tenant, name, session, digest))

        await self._change(run, news=False)

    async def declared_schedules(self, tenant: str) -> dict[str, frozenset[str]]:
        """The digests that live sessions declare."""
        found: dict[str, set[str]] = {}
        values = (tenant, self.now())
        for name, digest in await self._query(lambda c: c.execute(DECLARED, values).fetchall()):
            found.setdefault(name, set()).add(digest)
        return {name: frozenset(digests) for name, digests in found.items()}


def _record(row: Row) -> ScheduleRecord:
    return ScheduleRecord(
        tenant=row[0],
        name=row[1],
        agent=row[2],
        spec=row[3],
        state=row[4],
        next=row[5],
        last=row[6],
        last_run=row[7],
        paused=bool(row[8]),
        revision=row[9],
    )
