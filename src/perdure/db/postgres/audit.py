"""The audit log in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ...core.ids import RunRef
from ...journal import CellKey, Grower, Integrated, KeptCheckpoint, Leaf, LogLag, TileKey
from .arrays import Byteas, Ints, Texts
from .batch import BatchWriter
from .connection import Link
from .queries import NOW
from .rows import Row

__all__ = ["AuditRows"]

T = TypeVar("T")

LOG_LOCK = 1348825703
"""The advisory lock of whoever integrates; it ends with the transaction."""

BATCHES = 256
"""Rows of `audit_moved` that are taken in one transaction."""

SIZE = "select coalesce(max(n) + 1, 0) from perdure.audit_leaves"
MOVED = "select exists (select from perdure.audit_moved)"
LAG = """
    select count(distinct m.rid), min(m.at)
    from (select unnest(rids) as rid, at from perdure.audit_moved limit 1000000) m
    join perdure.runs r using (rid)
    where r.head > coalesce((select max(seq) from perdure.audit_leaves l where l.rid = m.rid), 0)
"""
TRY_LOCK = f"select pg_try_advisory_xact_lock({LOG_LOCK})"
# A row that can be seen here is of a transaction that was committed, and so are the heads that it moved: whoever takes
# the row sees them. What is committed meanwhile has a row of its own, which stays.
TAKE = """
    with taken as (
        delete from perdure.audit_moved
        where ctid = any(array(select ctid from perdure.audit_moved limit %(batches)s)) returning rids
    )
    select r.rid, r.tenant, r.id, r.head, r.head_hash, l.since, (select count(*) from taken)
    from (select distinct unnest(rids) as rid from taken) m
    join perdure.runs r using (rid),
    lateral (select coalesce(max(seq), 0) as since from perdure.audit_leaves l where l.rid = r.rid) l
    order by r.rid
"""
LOOK = f"""
    with page as (
        select rid, head from perdure.runs where rid > %(after)s order by rid limit %(limit)s
    ), missed as (
        select array_agg(rid) as rids from page p
        where head > coalesce((select max(seq) from perdure.audit_leaves l where l.rid = p.rid), 0)
    ), told as (
        insert into perdure.audit_moved (rids, at) select rids, {NOW} from missed where rids is not null
    )
    select max(rid), count(*) from page
"""
ADD_LEAVES = """
    insert into perdure.audit_leaves (n, rid, tenant, run, seq, since, hash)
    select * from unnest(%(n)s::bigint[], %(rid)s::bigint[], %(tenant)s::text[], %(run)s::text[], %(seq)s::bigint[],
        %(since)s::bigint[], %(hash)s::bytea[])
"""
GET_TILES = """
    select t.level, t.n, t.hashes from perdure.audit_tiles t
    join unnest(%(levels)s::bigint[], %(ns)s::bigint[]) as k (level, n) using (level, n)
"""
PUT_TILES = """
    insert into perdure.audit_tiles (level, n, hashes)
    select * from unnest(%(levels)s::bigint[], %(ns)s::bigint[], %(hashes)s::bytea[])
    on conflict (level, n) do update set hashes = excluded.hashes
"""
CHECKPOINTS = """
    select size, note, at, kept from perdure.audit_checkpoints
    where %(before)s::bigint is null or size < %(before)s order by size desc limit %(limit)s
"""
PUT_CHECKPOINT = f"""
    insert into perdure.audit_checkpoints as c (size, note, at, kept) values (%(size)s, %(note)s, {NOW}, %(kept)s)
    on conflict (size) do update set note = excluded.note, kept = c.kept or excluded.kept
"""
DROP_CHECKPOINTS = "delete from perdure.audit_checkpoints where size < %(size)s and not kept"
_LEAF = "n, tenant, run, seq, since, hash"
LEAVES = f"select {_LEAF} from perdure.audit_leaves where n > %(after)s order by n limit %(limit)s"
LEAVES_OF = f"select {_LEAF}, rid from perdure.audit_leaves where rid = any(%(rids)s) order by rid, seq"


class AuditRows:
    """The part of `PostgresStore` that keeps the audit log."""

    if TYPE_CHECKING:

        def _values(self, **values: Any) -> dict[str, Any]: ...
        def _change(
            self, function: Callable[[BatchWriter], T], *, news: bool = True, cells: Sequence[CellKey] = ()
        ) -> asyncio.Future[T]: ...
        async def _query(self, function: Callable[[Link], T]) -> T: ...

    async def log_size(self) -> int:
        """How many leaves there are."""
        return await self._query(_size)

    async def moved(self) -> bool:
        """Whether a transaction has moved heads since the log was last integrated."""
        return (await self._query(lambda c: c.execute(MOVED).fetchall()))[0][0]

    async def log_lag(self) -> LogLag:
        """How far behind the log is."""
        return LogLag(*(await self._query(lambda c: c.execute(LAG).fetchall()))[0])

    async def integrate(self, grower: Grower, *, limit: int = 512) -> Integrated:
        """Add leaves for runs whose head moved, in one transaction."""
        return await self._change(lambda w: self._integrate(w.link, grower, limit), news=False)

    def _integrate(self, c: Link, grower: Grower, limit: int) -> Integrated:
        locked = c.execute(TRY_LOCK).fetchone()
        if locked is None or not locked[0]:
            return Integrated(_size(c), 0, False)
        size = _size(c)
        batches = min(BATCHES, limit)
        rows = c.execute(TAKE, {"batches": batches}).fetchall()
        moved = [row for row in rows if row[3] > row[5]]
        leaves = [
            Leaf(size + i, RunRef(row[1], row[2]), row[3], row[5], row[4]) for i, row in enumerate(moved)
        ]
        newest = _checkpoints(c, before=None, limit=1)
        last = newest[0] if newest else None
        signed = last.size if last else 0
        if leaves or signed != size:
            edge = {key: b"" for key in grower.edge(size, signed)}
            edge |= _tiles(c, list(edge))
            growth = grower.grow(size, edge, leaves, last)
            if leaves:
                c.execute(ADD_LEAVES, _columns([row[0] for row in moved], leaves))
            if growth.tiles:
                values = _named(list(growth.tiles)) | {"hashes": Byteas([*growth.tiles.values()])}
                c.execute(PUT_TILES, values)
            if growth.note is not None:
                values = self._values(size=size + len(leaves), note=growth.note, kept=False)
                c.execute(PUT_CHECKPOINT, values)
                c.execute(DROP_CHECKPOINTS, values)
        return Integrated(size + len(leaves), len(leaves), bool(rows) and rows[0][6] == batches)

    async def look_for_moved(self, *, after: int = 0, limit: int = 2000) -> int | None:
        """Tell anew of heads that the log has not seen, of the next runs."""
        values = self._values(after=after, limit=limit)
        ((last, count),) = await self._change(lambda w: w.link.execute(LOOK, values).fetchall(), news=False)
        return last if count == limit else None

    async def leaves(self, *, after: int = -1, limit: int = 1000) -> list[Leaf]:
        """Leaves behind `after`, in order."""
        values = {"after": after, "limit": limit}
        return [_leaf(row) for row in await self._query(lambda c: c.execute(LEAVES, values).fetchall())]

    async def leaves_of(self, rids: Sequence[int]) -> list[tuple[int, Leaf]]:
        """All leaves of some runs, by run and number."""
        values = {"rids": Ints([*rids])}
        rows = await self._query(lambda c: c.execute(LEAVES_OF, values).fetchall())
        return [(row[6], _leaf(row)) for row in rows]

    async def tiles(self, keys: Sequence[TileKey]) -> dict[TileKey, bytes]:
        """Those tiles that are there."""
        return await self._query(lambda c: _tiles(c, keys))

    async def checkpoints(self, *, limit: int = 1, before: int | None = None) -> list[KeptCheckpoint]:
        """The newest checkpoints first."""
        return await self._query(lambda c: _checkpoints(c, before=before, limit=limit))

    async def keep_checkpoint(self, size: int, note: str) -> None:
        """Keep a checkpoint for good, with this note."""
        values = self._values(size=size, note=note, kept=True)
        await self._change(lambda w: w.link.execute(PUT_CHECKPOINT, values).rowcount, news=False)


def _size(c: Link) -> int:
    row = c.execute(SIZE).fetchone()
    assert row is not None
    return row[0]


def _tiles(c: Link, keys: Sequence[TileKey]) -> dict[TileKey, bytes]:
    rows = c.execute(GET_TILES, _named(keys)).fetchall()
    return {(level, n): hashes for level, n, hashes in rows}


def _checkpoints(c: Link, *, before: int | None, limit: int) -> list[KeptCheckpoint]:
    rows = c.execute(CHECKPOINTS, {"before": before, "limit": limit}).fetchall()
    return [KeptCheckpoint(*row) for row in rows]


def _named(keys: Sequence[TileKey]) -> dict[str, Any]:
    return {"levels": Ints([level for level, _ in keys]), "ns": Ints([n for _, n in keys])}


def _columns(rids: Sequence[int], leaves: Sequence[Leaf]) -> dict[str, Any]:
    return {
        "n": Ints([leaf.n for leaf in leaves]),
        "rid": Ints(rids),
        "tenant": Texts([leaf.run.tenant for leaf in leaves]),
        "run": Texts([leaf.run.id for leaf in leaves]),
        "seq": Ints([leaf.seq for leaf in leaves]),
        "since": Ints([leaf.since for leaf in leaves]),
        "hash": Byteas([leaf.hash for leaf in leaves]),
    }


def _leaf(row: Row) -> Leaf:
    return Leaf(row[0], RunRef(row[1], row[2]), row[3], row[4], row[5])
