"""Schedules in PostgreSQL: their rows, and which sessions declare them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ...journal import CellKey, NewRun, Post, ScheduleRecord, keys_of
from .batch import BatchWriter
from .connection import Link
from .queries import NOW

__all__ = ["ScheduleRows"]

T = TypeVar("T")

COLUMNS = "tenant, name, agent, spec, state, next, last, last_run, paused, revision"
LIST = f"""
    select {COLUMNS} from perdure.schedules where %(tenant)s::text is null or tenant = %(tenant)s
    order by tenant collate "C", name collate "C"
"""
ADD = f"""
    insert into perdure.schedules ({COLUMNS})
    values (%(tenant)s, %(name)s, %(agent)s, %(spec)s, %(state)s, %(next)s, %(last)s, %(last_run)s, %(paused)s,
        %(revision)s + 1)
    on conflict do nothing
"""
# Whoever comes second waits for the row, then sees the revision that the first has left.
CHANGE = """
    update perdure.schedules set agent = %(agent)s, spec = %(spec)s, state = %(state)s, next = %(next)s,
        last = %(last)s, last_run = %(last_run)s, paused = %(paused)s, revision = %(revision)s + 1
    where tenant = %(tenant)s and name = %(name)s and revision = %(revision)s
"""
REMOVE = "delete from perdure.schedules where tenant = %(tenant)s and name = %(name)s"
# In order and past what others hold: two workers that sweep at once must not wait for each other.
FORGET = """
    delete from perdure.declarations where (tenant, name, session) in (
        select tenant, name, session from perdure.declarations d
        where (tenant = %(tenant)s and session = %(session)s)
            or not exists (select 1 from perdure.sessions s where s.id = d.session)
        for update skip locked)
"""
DECLARE = """
    insert into perdure.declarations (tenant, name, session, digest)
    values (%(tenant)s, %(name)s, %(session)s, %(digest)s)
    on conflict (tenant, name, session) do update set digest = excluded.digest
"""
DECLARED = f"""
    select d.name, d.digest from perdure.declarations d join perdure.sessions s on s.id = d.session
    where d.tenant = %(tenant)s and s.expires > {NOW}
"""


class ScheduleRows:
    """The part of `PostgresStore` that keeps schedules."""

    if TYPE_CHECKING:

        def _values(self, **values: Any) -> dict[str, Any]: ...
        def _change(
            self,
            function: Callable[[BatchWriter], T],
            *,
            news: bool = True,
            cells: Sequence[CellKey] = (),
        ) -> asyncio.Future[T]: ...
        async def _query(self, function: Callable[[Link], T]) -> T: ...

    async def schedules(self, *, tenant: str | None = None) -> list[ScheduleRecord]:
        """All schedules, by tenant and name."""
        values = {"tenant": tenant}
        found = await self._query(lambda c: c.execute(LIST, values).fetchall())
        return [ScheduleRecord(**dict(zip(COLUMNS.split(", "), row, strict=True))) for row in found]

    async def write_schedule(
        self, record: ScheduleRecord, *, runs: Sequence[NewRun] = (), posts: Sequence[Post] = ()
    ) -> bool:
        """Write the row where its revision is still that of `record`, accept runs and deliver posts with it."""
        fresh = os.urandom(32)
        values = {column: getattr(record, column) for column in COLUMNS.split(", ")}

        def run(w: BatchWriter) -> bool:
            if w.link.execute(CHANGE if record.revision else ADD, values).rowcount == 0:
                return False
            for new in runs:
                w.add_run(new, fresh)
            for post in posts:
                w.post(post)
            return True

        cells = keys_of([amendment for new in runs for amendment in new.amendments])
        return await self._change(run, cells=cells)

    async def remove_schedule(self, tenant: str, name: str) -> bool:
        """Delete the row."""
        values = {"tenant": tenant, "name": name}
        return await self._change(lambda w: w.link.execute(REMOVE, values).rowcount == 1)

    async def declare_schedules(self, session: str, tenant: str, digests: Mapping[str, str]) -> None:
        """What the code of this session declares; rows of sessions that are gone are swept out with it."""
        values = {"tenant": tenant, "session": session}

        def run(w: BatchWriter) -> None:
            w.link.execute(FORGET, values)
            for name, digest in sorted(digests.items()):
                w.link.execute(DECLARE, {**values, "name": name, "digest": digest})

        await self._change(run, news=False)

    async def declared_schedules(self, tenant: str) -> dict[str, frozenset[str]]:
        """The digests that live sessions declare."""
        found: dict[str, set[str]] = {}
        values = self._values(tenant=tenant)
        for name, digest in await self._query(lambda c: c.execute(DECLARED, values).fetchall()):
            found.setdefault(name, set()).add(digest)
        return {name: frozenset(digests) for name, digests in found.items()}
