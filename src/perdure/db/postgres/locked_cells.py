"""The cells of one transaction: locked at its beginning, amended in memory, written at its end."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...journal import Amendment, Cell, CellKey, outcome_of
from .arrays import Byteas, Ints, Texts
from .connection import Link
from .rows import Row

__all__ = ["ChangeRaised", "LockedCells"]

ABSENT_LOCKS = 1348825702
"""The space of the advisory locks on cells that are not there."""

BUCKETS = 1024
"""Locks of that space: those of a batch must fit into the server's table of locks, however many cells it has."""

NEVER = -(1 << 63)
"""In place of null: the arrays hold none."""

# A row that is waited for is read as it was left, and the clock after it: who has the lock later has the later time.
# Lateral, so that rows are locked in the order of the array.
LOCK = """
    select k.n, c.data, c.due,
        coalesce(%(now)s::bigint, (extract(epoch from clock_timestamp()) * 1000000)::bigint)
    from unnest(%(tenant)s::text[], %(kind)s::text[], %(name)s::text[]) with ordinality as k (tenant, kind, name, n)
    left join lateral (
        select data, due from perdure.cells c
        where c.tenant = k.tenant and c.kind = k.kind and c.name = k.name for update
    ) as c on true
"""
LOCK_ABSENT = f"""
    select pg_advisory_xact_lock({ABSENT_LOCKS}, bucket::int) from unnest(%(buckets)s::bigint[]) as b (bucket)
"""
PUT = f"""
    insert into perdure.cells (tenant, kind, name, data, due)
    select tenant, kind, name, data, nullif(due, {NEVER})
    from unnest(%(tenant)s::text[], %(kind)s::text[], %(name)s::text[], %(data)s::bytea[], %(due)s::bigint[])
        as k (tenant, kind, name, data, due)
    on conflict (tenant, kind, name) do update set data = excluded.data, due = excluded.due
"""
DROP = """
    delete from perdure.cells c using unnest(%(tenant)s::text[], %(kind)s::text[], %(name)s::text[])
        as k (tenant, kind, name)
    where c.tenant = k.tenant and c.kind = k.kind and c.name = k.name
"""


class ChangeRaised(Exception):
    """An amendment's `change` raised `error`. Nothing of it was done."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class LockedCells:
    """What a batch knows of its cells. However often a batch amends a cell, it is read once and written once.

    **All cells of a batch are locked before anything else**, in the order of their keys: two writers that took them as
    their jobs come would wait for each other in a circle. A cell that is there is locked by its row. One that is not
    has no row, and an advisory lock on a hash of its key stands for it: whoever may create it takes that, and looks
    again. If somebody has created it meanwhile, its row would have to be locked out of turn: the transaction begins
    anew. (A placeholder row, inserted to be locked and deleted again, costs a dead row each time that somebody only
    wants to know that a breaker is not open.)
    """

    def __init__(self, link: Link, now: Callable[[], int | None]) -> None:
        self._link = link
        self._clock = now
        self._now = 0
        self._there: dict[CellKey, Cell | None] = {}
        self._before: dict[CellKey, Cell | None] = {}
        """what those were that were changed since the last `flush`"""

    def take(self, keys: Sequence[CellKey]) -> bool:
        """Lock and read; `keys` are sorted. False: begin the transaction anew."""
        rows = self._lock(keys)
        absent = [key for key, row in zip(keys, rows, strict=True) if row[1] is None]
        if absent:
            buckets = {zlib.crc32("\0".join(key).encode()) % BUCKETS for key in absent}
            self._link.execute(LOCK_ABSENT, {"buckets": Ints(sorted(buckets))})
            again = self._lock(absent)
            if any(row[1] is not None for row in again):
                return False
            self._now = max(row[3] for row in again)
        else:
            self._now = max(row[3] for row in rows)
        self._there = {
            key: None if row[1] is None else Cell(row[1], row[2]) for key, row in zip(keys, rows, strict=True)
        }
        return True

    def _lock(self, keys: Sequence[CellKey]) -> list[Row]:
        return self._link.execute(LOCK, _named(keys) | {"now": self._clock()}).fetchall()

    def amend(self, amendments: Sequence[Amendment]) -> None:
        """Make the amendments, all or none. Raises `ChangeRaised`."""
        written: dict[CellKey, Cell | None] = {}
        results: list[Any] = []
        for amendment in amendments:
            there = {key: written[key] if key in written else self._there[key] for key in amendment.keys}
            try:
                more, result = outcome_of(amendment, there, self._now)
            except Exception as error:
                raise ChangeRaised(error) from error
            written.update(more)
            results.append(result)
        self._set(written)
        for amendment, result in zip(amendments, results, strict=True):
            amendment.result = result

    def gone(self, keys: Iterable[CellKey]) -> None:
        """Somebody deleted these, in this transaction."""
        self._set({key: None for key in keys if key in self._there})

    def _set(self, written: Mapping[CellKey, Cell | None]) -> None:
        for key, cell in written.items():
            self._before.setdefault(key, self._there[key])
            self._there[key] = cell

    def flush(self) -> None:
        """Write what was changed."""
        if not self._before:
            return
        changed = sorted(key for key, before in self._before.items() if self._there[key] != before)
        kept = [(key, cell) for key in changed if (cell := self._there[key]) is not None]
        if kept:
            values = {
                "data": Byteas([cell.data for _, cell in kept]),
                "due": Ints([NEVER if cell.due is None else cell.due for _, cell in kept]),
            }
            self._link.execute(PUT, _named([key for key, _ in kept]) | values)
        if len(kept) < len(changed):
            self._link.execute(DROP, _named([key for key in changed if self._there[key] is None]))
        self._before.clear()

    def restore(self) -> None:
        """What was changed since the last `flush` is as it was."""
        self._there.update(self._before)
        self._before.clear()


def _named(keys: Sequence[CellKey]) -> dict[str, Any]:
    return {
        "tenant": Texts([key.tenant for key in keys]),
        "kind": Texts([key.kind for key in keys]),
        "name": Texts([key.name for key in keys]),
    }
