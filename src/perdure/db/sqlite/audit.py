"""The audit log in SQLite."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ...core.ids import RunRef
from ...journal import Grower, Integrated, KeptCheckpoint, Leaf, LogLag, TileKey
from .batch import BatchWriter
from .connection import Connection, Row

__all__ = ["AuditRows"]

T = TypeVar("T")

SCAN = 4096
"""Entries that are looked at in one transaction."""

SIZE = "select coalesce(max(n) + 1, 0) from audit_leaves"
CURSOR = "select n from audit_cursor"
LAST_ENTRY = "select coalesce(max(n), 0) from entries"
MOVED = f"select ({LAST_ENTRY}) > ({CURSOR})"
LAG = f"""
    select count(distinct rid), min(at), max(n), count(*)
    from (select n, rid, at from entries where n > ({CURSOR}) order by n limit ?)
"""
# Entries are numbered as they arrive, and never deleted: what stands behind the cursor is what has come since.
COME = """
    select rid, min(n), max(n) from (select n, rid from entries where n > ? order by n limit ?) group by rid order by 2
"""
HEADS = """
    select r.rid, r.tenant, r.id, r.head, r.head_hash,
        coalesce((select max(seq) from audit_leaves l where l.rid = r.rid), 0)
    from json_each(?) j join runs r on r.rid = j.value order by j.key
"""
ADD_LEAF = "insert into audit_leaves (n, rid, tenant, run, seq, since, hash) values (?, ?, ?, ?, ?, ?, ?)"
SET_CURSOR = "update audit_cursor set n = ?"
# Nothing that Perdure does leads past a head; a cursor that somebody has moved does.
SET_BACK = "update audit_cursor set n = min(n, ?)"
LOOK = """
    with page as (select rid, head from runs where rid > ? order by rid limit ?)
    select max(p.rid), count(*), (
        select min(e.n) from page m join entries e on e.rid = m.rid and e.seq = m.head
        where m.head > coalesce((select max(seq) from audit_leaves l where l.rid = m.rid), 0))
    from page p
"""
GET_TILE = "select hashes from audit_tiles where level = ? and n = ?"
PUT_TILE = "insert or replace into audit_tiles (level, n, hashes) values (?, ?, ?)"
CHECKPOINTS = "select size, note, at, kept from audit_checkpoints where size < ? order by size desc limit ?"
PUT_CHECKPOINT = """
    insert into audit_checkpoints (size, note, at, kept) values (?, ?, ?, ?)
    on conflict do update set note = excluded.note, kept = max(kept, excluded.kept)
"""
DROP_CHECKPOINTS = "delete from audit_checkpoints where size < ? and not kept"
_LEAF = "n, tenant, run, seq, since, hash"
LEAVES = f"select {_LEAF} from audit_leaves where n > ? order by n limit ?"
LEAVES_OF = (
    f"select {_LEAF}, rid from audit_leaves where rid in (select value from json_each(?)) order by rid, seq"
)
EVERY = (1 << 63) - 1


class AuditRows:
    """The part of `SqliteStore` that keeps the audit log."""

    if TYPE_CHECKING:

        def now(self) -> int: ...  # noqa: D102  # the store's
        def _change(
            self, function: Callable[[BatchWriter], T], *, news: bool = True
        ) -> asyncio.Future[T]: ...
        async def _query(self, function: Callable[[Connection], T]) -> T: ...

    async def log_size(self) -> int:
        """How many leaves there are."""
        return await self._query(lambda c: c.execute(SIZE).get)

    async def moved(self) -> bool:
        """Whether entries have come since the log was last integrated."""
        return await self._query(lambda c: bool(c.execute(MOVED).get))

    async def log_lag(self) -> LogLag:
        """How far behind the log is."""

        def run(c: Connection) -> LogLag:
            runs, since, _, _ = c.execute(LAG, (1_000_000,)).fetchone() or (0, None, 0, 0)
            return LogLag(runs, since)

        return await self._query(run)

    async def integrate(self, grower: Grower, *, limit: int = 512) -> Integrated:
        """Add leaves for runs whose head moved, in one transaction.

        What has come is read before it, beside the writer: it takes neither the lock nor the cache of whoever appends.
        """

        def look(c: Connection) -> tuple[int, list[Row]]:
            cursor = c.execute(CURSOR).get
            return cursor, c.execute(COME, (cursor, SCAN)).fetchall()

        cursor, come = await self._query(look)
        return await self._change(
            lambda w: self._integrate(w.connection, grower, limit, cursor, come), news=False
        )

    def _integrate(
        self, c: Connection, grower: Grower, limit: int, cursor: int, come: list[Row]
    ) -> Integrated:
        size: int = c.execute(SIZE).get
        if c.execute(CURSOR).get != cursor:
            return Integrated(size, 0, True)  # somebody else was first
        taken = come[:limit]
        rows = c.execute(HEADS, (json.dumps([row[0] for row in taken]),)).fetchall()
        moved = [row for row in rows if row[3] > row[5]]
        leaves = [
            Leaf(size + i, RunRef(row[1], row[2]), row[3], row[5], row[4]) for i, row in enumerate(moved)
        ]
        last = _checkpoint(c.execute(CHECKPOINTS, (EVERY, 1)).fetchone())
        signed = last.size if last else 0
        if leaves or signed != size:
            edge = {key: c.execute(GET_TILE, key).get or b"" for key in grower.edge(size, signed)}
            growth = grower.grow(size, edge, leaves, last)
            for row, leaf in zip(moved, leaves, strict=True):
                c.execute(ADD_LEAF, (leaf.n, row[0], *leaf.run, leaf.seq, leaf.since, leaf.hash))
            for key, hashes in growth.tiles.items():
                c.execute(PUT_TILE, (*key, hashes))
            if growth.note is not None:
                c.execute(PUT_CHECKPOINT, (size + len(leaves), growth.note, self.now(), False))
                c.execute(DROP_CHECKPOINTS, (size + len(leaves),))
        if taken:
            # Behind all entries that come before the first of a run that was left for the next time.
            seen = come[limit][1] - 1 if len(come) > limit else max(row[2] for row in come)
            c.execute(SET_CURSOR, (seen,))
        return Integrated(size + len(leaves), len(leaves), bool(c.execute(MOVED).get))

    async def look_for_moved(self, *, after: int = 0, limit: int = 2000) -> int | None:
        """Set the cursor back to before the first head that the log has not seen, of the next runs."""

        def look(c: Connection) -> tuple[int | None, int, int | None]:
            last, count, missed = c.execute(LOOK, (after, limit)).fetchone() or (None, 0, None)
            return last, count, missed

        last, count, missed = await self._query(look)
        if missed is not None:
            await self._change(lambda w: w.connection.execute(SET_BACK, (missed - 1,)).fetchall(), news=False)
        return last if count == limit else None

    async def leaves(self, *, after: int = -1, limit: int = 1000) -> list[Leaf]:
        """Leaves behind `after`, in order."""
        return [
            _leaf(row) for row in await self._query(lambda c: c.execute(LEAVES, (after, limit)).fetchall())
        ]

    async def leaves_of(self, rids: Sequence[int]) -> list[tuple[int, Leaf]]:
        """All leaves of some runs, by run and number."""
        values = (json.dumps([*rids]),)
        rows = await self._query(lambda c: c.execute(LEAVES_OF, values).fetchall())
        return [(row[6], _leaf(row)) for row in rows]

    async def tiles(self, keys: Sequence[TileKey]) -> dict[TileKey, bytes]:
        """Those tiles that are there."""

        def run(c: Connection) -> dict[TileKey, bytes]:
            found = {key: c.execute(GET_TILE, key).get for key in keys}
            return {key: hashes for key, hashes in found.items() if hashes is not None}

        return await self._query(run)

    async def checkpoints(self, *, limit: int = 1, before: int | None = None) -> list[KeptCheckpoint]:
        """The newest checkpoints first."""
        values = (EVERY if before is None else before, limit)
        rows = await self._query(lambda c: c.execute(CHECKPOINTS, values).fetchall())
        return [kept for row in rows if (kept := _checkpoint(row)) is not None]

    async def keep_checkpoint(self, size: int, note: str) -> None:
        """Keep a checkpoint for good, with this note."""
        await self._change(
            lambda w: w.connection.execute(PUT_CHECKPOINT, (size, note, self.now(), True)).fetchall(),
            news=False,
        )


def _leaf(row: Row) -> Leaf:
    return Leaf(row[0], RunRef(row[1], row[2]), row[3], row[4], row[5])


def _checkpoint(row: Row | None) -> KeptCheckpoint | None:
    return None if row is None else KeptCheckpoint(row[0], row[1], row[2], bool(row[3]))
