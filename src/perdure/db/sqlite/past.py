"""Runs that are over, in SQLite: counting, pruning, collecting blobs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from ...core.errors import UnknownRun
from ...core.ids import RunRef
from ...journal import ENDINGS, OWN_AGENTS, Amendment, Entry, Kind, RunQuery, RunStatus, commitment
from ..annotation import annotation
from .batch import BatchWriter
from .connection import Connection

__all__ = ["PastRows", "conditions"]

T = TypeVar("T")

LAST = "select rid, status, pruned_at, head, head_hash, epoch from runs where tenant = ? and id = ?"
GO_ON = "update runs set head = ?2, head_hash = ?3, updated_at = ?4 where rid = ?1"
WHOSE = "select rid, status, base, pruned_at from runs where tenant = ? and id = ?"
ERASE = """
    update entries set salt = x'', blob = null, codec = codec & 127, payload = commitment(codec, salt, coalesce(payload,
        (select data from blobs b where b.tenant = ?2 and b.address = entries.blob)))
    where rid = ?1 and seq < ?3 and (length(salt) > 0 or codec > 127) and kind <> ?4
"""
"""Of a sealed payload (codec 128 and more) the commitment is the beginning."""
OF_KIND = """
    select rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt,
        coalesce(payload, (select data from blobs b where b.address = entries.blob
            and b.tenant = (select tenant from runs r where r.rid = entries.rid))), hash
    from entries where rid in (select value from json_each(?1)) and (rid, seq) > (?3, ?4) and kind = ?2
    order by rid, seq limit ?5
"""
PRUNED = "update runs set pruned_at = ?2, reasons = '[]', progress = null where rid = ?1"
DROP_INBOX = "delete from inbox where rid = ?"
DROP_APPROVALS = "delete from approvals where rid = ?"
FORGET_GOAL = "update run_figures set pruned = 1, goal = null, search = null where rid = ?"
OVERDUE = """
    select tenant, id from runs
    where ended_at < ?3 and pruned_at is null and agent = ?1 and status = ?2 order by ended_at, rid limit ?4
"""
COLLECT = """
    delete from blobs where (tenant, address) in (
        select tenant, address from blobs b
        where at < ?1 and not exists (select 1 from entries e where e.blob = b.address) limit ?2)
"""
EVERY = 1 << 62


class PastRows:
    """The part of `SqliteStore` that looks after runs that are over."""

    if TYPE_CHECKING:

        def now(self) -> int: ...  # noqa: D102  # the store's
        def _change(
            self, function: Callable[[BatchWriter], T], *, news: bool = True
        ) -> asyncio.Future[T]: ...
        async def _query(self, function: Callable[[Connection], T]) -> T: ...

    async def count(self, query: RunQuery) -> int:
        """How many runs match."""
        where, values = conditions(replace(query, own=True), page=False)

        def run(c: Connection) -> int:
            count: int = c.execute(f"select count(*) from runs{where}", values).get
            # All of them by whichever index holds them, and then less the few that do not count: with a condition
            # on the agent that index would not do, and each run's row would be read.
            for agent in OWN_AGENTS if query.hides_own else ():
                theirs, given = conditions(replace(query, agent=agent), page=False)
                count -= c.execute(
                    f"select count(*) from runs{_BY_AGENT[query.tenant is None]}{theirs}", given
                ).get
            return count

        return await self._query(run)

    async def of_kind(
        self, kind: int, rids: Sequence[int], *, after: tuple[int, int] = (0, 0), limit: int = 1000
    ) -> list[tuple[int, Entry]]:
        """Entries of one kind in the journals of some runs, by run and number."""
        values = (json.dumps([*rids]), kind, *after, limit)
        rows = await self._query(lambda c: c.execute(OF_KIND, values).fetchall())
        return [(row[0], Entry(*row[1:])) for row in rows]

    async def prune(self, ref: RunRef) -> int:
        """Take away the payloads that nobody needs to go on."""

        def run(w: BatchWriter) -> int:
            c = w.connection
            row = c.execute(WHOSE, ref).fetchone()
            if row is None:
                raise UnknownRun(f"no run `{ref}`; `perdure runs ls` shows what there is")
            rid, status, base, pruned_at = row
            ended = status in ENDINGS
            c.create_scalar_function("commitment", _committed, 3, deterministic=True)
            c.execute(ERASE, (rid, ref.tenant, EVERY if ended else base, Kind.CHARGED))
            erased = c.changes()
            if ended and pruned_at is None:
                c.execute(PRUNED, (rid, self.now()))
                c.execute(DROP_INBOX, (rid,))
                c.execute(DROP_APPROVALS, (rid,))
                c.execute(FORGET_GOAL, (rid,))
            return erased

        return await self._change(run, news=False)

    async def annotate(
        self,
        ref: RunRef,
        kind: int,
        payload: bytes,
        *,
        actor: str,
        key: str = "",
        amendments: Sequence[Amendment] = (),
        stored: Callable[[Entry], Entry] | None = None,
    ) -> Entry | None:
        """Add one entry to the journal of a run that has ended."""

        def run(w: BatchWriter) -> Entry | None:
            row = w.connection.execute(LAST, ref).fetchone()
            if row is None:
                return None
            rid, status, pruned_at, head, head_hash, epoch = row
            now = self.now()
            entry = annotation(
                ref,
                kind,
                payload,
                actor=actor,
                key=key,
                status=status,
                pruned_at=pruned_at,
                head=head,
                head_hash=head_hash,
                epoch=epoch,
                at=now,
            )
            w.amend(amendments)
            w.add_entry(rid, entry if stored is None else stored(entry))
            w.connection.execute(GO_ON, (rid, entry.seq, entry.hash, now))
            return entry

        return await self._change(run)

    async def overdue(self, *, agent: str, status: RunStatus, before: int, limit: int = 100) -> list[RunRef]:
        """Runs that ended so before that time and were not pruned, the longest ended first."""
        values = (agent, status, before, limit)
        rows = await self._query(lambda c: c.execute(OVERDUE, values).fetchall())
        return [RunRef(*row) for row in rows]

    async def collect(self, *, before: int, limit: int = 100) -> int:
        """Delete blobs that no entry names."""

        def run(w: BatchWriter) -> int:
            w.connection.execute(COLLECT, (before, limit))
            return w.connection.changes()

        return await self._change(run, news=False)


def _committed(codec: int, salt: bytes, payload: bytes) -> bytes:
    return payload[:32] if codec > 127 else commitment(salt, payload)


_BY_AGENT = {False: " indexed by runs_agent", True: ""}
"""Whether all tenants are asked for: then that index is of no use."""


def conditions(query: RunQuery, *, page: bool = True) -> tuple[str, list[Any]]:
    """The `where` of a query, and its values."""
    where: list[str] = []
    values: list[Any] = []
    for condition, value in (
        ("tenant = ?", query.tenant),
        ("agent = ?", query.agent),
        ("version = ?", query.version),
        ("parent = ?", query.parent),
        ("principal = ?", query.principal),
        ("subject = ?", query.subject),
        ("created_at >= ?", query.since),
        ("created_at < ?", query.until),
        ("ended_at < ?", query.ended_before),
        ("exists (select 1 from json_each(reasons) r where r.value = ?)", query.reason),
        ("rid < ?", query.before if page else None),
    ):
        if value is not None:
            where.append(condition)
            values.append(value)
    if query.pruned is not None:
        where.append(f"pruned_at is {'not ' if query.pruned else ''}null")
    if query.hides_own:
        where.append(f"agent not in ({','.join('?' * len(OWN_AGENTS))})")
        values.extend(OWN_AGENTS)
    if query.statuses:
        where.append(f"status in ({','.join('?' * len(query.statuses))})")
        values.extend(sorted(query.statuses))
    for label, value in query.labels.items():
        where.append("exists (select 1 from json_each(labels) l where l.key = ? and l.value = ?)")
        values.extend((label, value))
    return (" where " + " and ".join(where) if where else ""), values
