"""Runs that are over, in PostgreSQL: counting, pruning, collecting blobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from ...core.errors import UnknownRun
from ...core.ids import RunRef
from ...journal import ENDINGS, OWN_AGENTS, Amendment, CellKey, Entry, Kind, RunQuery, RunStatus, keys_of
from ..annotation import annotation
from . import rows
from .batch import BatchWriter
from .connection import Link
from .queries import NOW

__all__ = ["PastRows"]

T = TypeVar("T")

LAST = f"""
    select rid, status, pruned_at, head, head_hash, epoch, {NOW} from perdure.runs
    where tenant = %(tenant)s and id = %(id)s for update
"""
GO_ON = (
    "update perdure.runs set head = %(head)s, head_hash = %(hash)s, updated_at = %(at)s where rid = %(rid)s"
)
WHOSE = """
    select rid, status, base, pruned_at from perdure.runs where tenant = %(tenant)s and id = %(id)s for update
"""
ERASE = """
    update perdure.entries e set salt = '', blob = null, codec = codec & 127, payload = case
        when codec > 127 then substring(coalesce(payload,
            (select data from perdure.blobs b where b.tenant = %(tenant)s and b.address = e.blob)) from 1 for 32)
        else sha256(salt || coalesce(payload,
            (select data from perdure.blobs b where b.tenant = %(tenant)s and b.address = e.blob))) end
    where rid = %(rid)s and seq < %(until)s and (length(salt) > 0 or codec > 127) and kind <> %(kept)s
"""
"""Of a sealed payload (codec 128 and more) the commitment is the beginning."""
OF_KIND = """
    select rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt,
        coalesce(payload, (select data from perdure.blobs b where b.address = e.blob
            and b.tenant = (select tenant from perdure.runs r where r.rid = e.rid))), hash
    from perdure.entries e
    where rid = any(%(rids)s::bigint[]) and (rid, seq) > (%(rid)s, %(seq)s) and kind = %(kind)s
    order by rid, seq limit %(limit)s
"""
PRUNED = f"""
    update perdure.runs set pruned_at = {NOW}, reasons = '{{}}', progress = null where rid = %(rid)s
"""
DROP_INBOX = "delete from perdure.inbox where rid = %(rid)s"
DROP_APPROVALS = "delete from perdure.approvals where rid = %(rid)s"
# The row is made where there is none: whoever folds the run meanwhile waits for it here, or is waited for.
FORGET_GOAL = """
    insert into perdure.run_figures (rid, folded, pruned) values (%(rid)s, 0, true)
    on conflict (rid) do update set pruned = true, goal = null, search = null
"""
OVERDUE = """
    select tenant, id from perdure.runs
    where ended_at < %(before)s and pruned_at is null and agent = %(agent)s and status = %(status)s
    order by ended_at, rid limit %(limit)s
"""
# Who writes a blob that is there touches its row. What another holds now is left for the next time; of what another
# has touched since this statement's snapshot, the row's lock shows the new `at`: it is looked at again, and stays.
COLLECT = """
    delete from perdure.blobs where (tenant, address) in (
        select tenant, address from perdure.blobs b
        where at < %(before)s and not exists (select 1 from perdure.entries e where e.blob = b.address)
        limit %(limit)s for update skip locked)
"""
EVERY = 1 << 62


class PastRows:
    """The part of `PostgresStore` that looks after runs that are over."""

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

    async def count(self, query: RunQuery) -> int:
        """How many runs match."""
        where, values = rows.conditions(replace(query, own=True), page=False)
        counting = f"select count(*) from perdure.runs r{where}"
        if query.hides_own:  # an index without the agent counts faster, and theirs are few
            theirs = "r.agent = any(%(own)s::text[])"
            values["own"] = [*OWN_AGENTS]
            counting = f"select ({counting}) - ({counting}{' and ' if where else ' where '}{theirs})"
        found = await self._query(lambda c: c.execute(counting, values).fetchone())
        return 0 if found is None else found[0]

    async def of_kind(
        self, kind: int, rids: Sequence[int], *, after: tuple[int, int] = (0, 0), limit: int = 1000
    ) -> list[tuple[int, Entry]]:
        """Entries of one kind in the journals of some runs, by run and number."""
        values = {"kind": int(kind), "rids": [*rids], "rid": after[0], "seq": after[1], "limit": limit}
        found = await self._query(lambda c: c.execute(OF_KIND, values).fetchall())
        return [(row[0], Entry(*row[1:])) for row in found]

    async def prune(self, ref: RunRef) -> int:
        """Take away the payloads that nobody needs to go on."""

        def run(w: BatchWriter) -> int:
            row = w.link.execute(WHOSE, {"tenant": ref.tenant, "id": ref.id}).fetchone()
            if row is None:
                raise UnknownRun(f"no run `{ref}`; `perdure runs ls` shows what there is")
            rid, status, base, pruned_at = row
            ended = status in ENDINGS
            until = EVERY if ended else base
            values = self._values(rid=rid, tenant=ref.tenant, until=until, kept=int(Kind.CHARGED))
            erased = w.link.execute(ERASE, values).rowcount
            if ended and pruned_at is None:
                for sql in (PRUNED, DROP_INBOX, DROP_APPROVALS, FORGET_GOAL):
                    w.link.execute(sql, values)
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
            values = self._values(tenant=ref.tenant, id=ref.id)
            row = w.link.execute(LAST, values).fetchone()
            if row is None:
                return None
            rid, status, pruned_at, head, head_hash, epoch, now = row
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
            w.cells.amend(amendments)
            w.add_entry(rid, entry if stored is None else stored(entry))
            w.moved.add(rid)
            w.link.execute(GO_ON, {"rid": rid, "head": entry.seq, "hash": entry.hash, "at": now})
            return entry

        return await self._change(run, cells=keys_of(amendments))

    async def overdue(self, *, agent: str, status: RunStatus, before: int, limit: int = 100) -> list[RunRef]:
        """Runs that ended so before that time and were not pruned, the longest ended first."""
        values = {"agent": agent, "status": status, "before": before, "limit": limit}
        found = await self._query(lambda c: c.execute(OVERDUE, values).fetchall())
        return [RunRef(*row) for row in found]

    async def collect(self, *, before: int, limit: int = 100) -> int:
        """Delete blobs that no entry names."""
        values = {"before": before, "limit": limit}
        return await self._change(lambda w: w.link.execute(COLLECT, values).rowcount, news=False)
