"""Knowledge in SQLite."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from ...memory import Whose
from ...memory.knowledge import NEVER, WalkQuery
from ...memory.knowledge.ledger import View
from ..knowledge import FORGET, REALMS, SqlView, find_realm, made_realm
from .connection import Connection, Row

if TYPE_CHECKING:
    from .store import SqliteStore

__all__ = ["SqliteLedger", "in_sqlite"]

T = TypeVar("T")

# The limit ends the recursion: of a hub only so many facts are looked at. Rows come out as they went in, the nearest
# first. `indexed by` is not to be had for an `or`, of which SQLite walks one index after the other.
WALK = """
    with recursive walked (entity, hops, version) as (
        select cast(? as integer), 0, 0
        union
        select {to}, w.hops + 1, f.version
        from walked w join knowledge_facts f on {along}
        where w.hops < ? and f.object <> 0 and f.version <> w.version and f.realm = ?
            and f.valid_from <= ? and f.valid_to > ? and {known} {of}
        limit ?
    )
    select entity, hops, version from walked where version <> 0
"""
DIRECTIONS = {
    "out": ("f.object", "f.subject = w.entity"),
    "in": ("f.subject", "(f.object = w.entity and f.object <> 0)"),
    "both": (
        "iif(f.subject = w.entity, f.object, f.subject)",
        "(f.subject = w.entity or (f.object = w.entity and f.object <> 0))",
    ),
}


class SqliteLedger:
    """The `Ledger` in the file of a store: written by the store's writer, with whatever else is written then."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def read(self, realm: Whose, function: Callable[[View], T]) -> T:
        """What `function` finds."""

        def run(c: Connection) -> T:
            database = _Sqlite(c)
            # One moment for all that it reads, whoever writes meanwhile.
            c.execute("begin")
            try:
                return function(SqlView(database, find_realm(database, realm), self._store.now()))
            finally:
                c.execute("rollback")

        return await self._store.look(run)

    async def write(self, realm: Whose, locks: Sequence[str], function: Callable[[View], T]) -> T:
        """Do what `function` does. The file has one writer, so there is nothing to lock."""

        def run(c: Connection) -> T:
            database = _Sqlite(c)
            return function(SqlView(database, made_realm(database, realm), self._store.now()))

        return await self._store.change(run)

    async def realms(self, tenant: str) -> list[Whose]:
        """Those of a tenant."""
        rows = await self._store.look(lambda c: _Sqlite(c).rows(REALMS, (tenant,)))
        return [Whose(row[0], row[1] or None, row[2] or None) for row in rows]

    async def forget(self, realm: Whose) -> int:
        """Delete all that is known in a realm."""

        def run(c: Connection) -> int:
            database = _Sqlite(c)
            number, gone = find_realm(database, realm), 0
            for sql in FORGET:
                database.rows(sql, (number,))
                gone += c.changes()
            return gone

        return await self._store.change(run)


class _Sqlite:
    """The `Dialect` of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        return self._connection.execute(in_sqlite(sql), tuple(values)).fetchall()

    def next_id(self, table: str, column: str) -> int:
        return self._connection.execute(f"select coalesce(max({column}), 0) + 1 from {table}").get

    def ids(self, values: Sequence[int]) -> str:
        return json.dumps(list(values))

    def texts(self, values: Sequence[str]) -> str:
        return json.dumps(list(values))

    def walk(self, realm: int, query: WalkQuery) -> list[tuple[int, int, int]]:
        to, along = DIRECTIONS[query.direction]
        known, at = f"f.until = {NEVER}", list[Any]()
        if query.known_at is not None:
            known, at = "f.at <= ? and f.until > ?", [query.known_at, query.known_at]
        of = f"and f.relation in ({', '.join('?' * len(query.relations))})" if query.relations else ""
        sql = WALK.format(to=to, along=along, known=known, of=of)
        values = (
            *(query.start, query.hops, realm, query.as_of, query.as_of),
            *at,
            *query.relations,
            query.limit + 2,  # the row of the start, and one that tells that there is more
        )
        return self._connection.execute(sql, values).fetchall()  # type: ignore[return-value]  # rows of three numbers


@lru_cache(maxsize=64)
def in_sqlite(sql: str) -> str:
    """A statement of `db.knowledge`, for this database."""
    listed = "(select value from json_each(?))"
    return sql.replace("{s}", "").replace("{ids}", listed).replace("{texts}", listed)
