"""Knowledge in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from ...journal import CellKey
from ...memory import Whose
from ...memory.knowledge import NEVER, WalkQuery
from ...memory.knowledge.ledger import View
from ..knowledge import FORGET, REALMS, SqlView, find_realm, made_realm
from .arrays import Ints, Texts
from .batch import BatchWriter
from .connection import Link, Row
from .locked_cells import ChangeRaised

if TYPE_CHECKING:
    from .store import PostgresStore

__all__ = ["PostgresLedger"]

T = TypeVar("T")

LOCK_KIND = "knowledge"
"""Of cells that are never written: their locks stand for entities and names, and are taken in order with all others."""

NOW = "select coalesce(%(now)s::bigint, (extract(epoch from clock_timestamp()) * 1000000)::bigint)"

NEXT = """
    select nextval(pg_get_serial_sequence(%s, %s)),
        nextval(pg_get_serial_sequence('perdure.knowledge_facts', 'version'))
"""

# A recursive query hands out its rows as it finds them, the nearest first: the limit outside ends it.
WALK = """
    with recursive walked (entity, hops, version) as (
        select %(start)s::bigint, 0, 0::bigint
        union
        select e.entity, w.hops + 1, e.version from walked w cross join lateral (
            {along}
        ) e
        where w.hops < %(hops)s and e.version <> w.version
    )
    select entity, hops, version from walked where version <> 0 limit %(limit)s
"""
ALONG = """
            select f.{to} as entity, f.version from perdure.knowledge_facts f
            where f.{at} = w.entity and f.object <> 0 and f.realm = %(realm)s
                and f.valid_from <= %(as_of)s and f.valid_to > %(as_of)s and {known} {of}
"""
DIRECTIONS = {
    "out": [("object", "subject")],
    "in": [("subject", "object")],
    "both": [("object", "subject"), ("subject", "object")],
}


class PostgresLedger:
    """The `Ledger` in the database of a store: written by the store's writer, with whatever else is written then."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self._realms: dict[Whose, int] = {}
        """numbers of realms that were read, and so are there to stay"""

    async def read(self, realm: Whose, function: Callable[[View], T]) -> T:
        """What `function` finds."""

        def run(c: Link) -> T:
            database = _Postgres(c)
            # One moment for all that it reads, whoever writes meanwhile. A walk looks expensive to a planner without
            # statistics, which would then compile it: that takes a hundred times as long as the walk.
            c.execute("begin isolation level repeatable read read only; set local jit = off")
            try:
                number = self._realms.get(realm) or find_realm(database, realm)
                if number:
                    self._realms[realm] = number
                return function(SqlView(database, number, self._store.now()))
            finally:
                c.execute("rollback")

        return await self._store.look(run)

    async def write(self, realm: Whose, locks: Sequence[str], function: Callable[[View], T]) -> T:
        """Do what `function` does, under the locks."""
        cells = [CellKey(realm.tenant, LOCK_KIND, f"{realm.subject}|{realm.agent}|{lock}") for lock in locks]

        def run(w: BatchWriter) -> T:
            database = _Postgres(w.link)
            now = w.link.execute(NOW, {"now": self._store.time()}).fetchone()
            assert now is not None
            try:
                number = self._realms.get(realm) or made_realm(database, realm)
                return function(SqlView(database, number, now[0]))
            except psycopg.Error:
                raise
            except Exception as error:
                raise ChangeRaised(error) from error

        return await self._store.change(run, cells=cells)

    async def realms(self, tenant: str) -> list[Whose]:
        """Those of a tenant."""
        rows = await self._store.look(lambda c: _Postgres(c).rows(REALMS, (tenant,)))
        return [Whose(row[0], row[1] or None, row[2] or None) for row in rows]

    async def forget(self, realm: Whose) -> int:
        """Delete all that is known in a realm."""

        def run(w: BatchWriter) -> int:
            number = find_realm(_Postgres(w.link), realm)
            return sum(w.link.execute(_here(sql), (number,)).rowcount for sql in FORGET)

        return await self._store.change(run)


class _Postgres:
    """The `Dialect` of a connection."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._spare = 0

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        cursor = self._link.execute(_here(sql), tuple(values))
        return cursor.fetchall() if cursor.description else []

    def next_id(self, table: str, column: str) -> int:
        # What is said has two, of the write and of the fact: one trip for both.
        spare, self._spare = self._spare, 0
        if spare and table == "knowledge_facts":
            return spare
        row = self._link.execute(NEXT, (f"perdure.{table}", column)).fetchone()
        assert row is not None
        self._spare = row[1]
        return row[0]

    def ids(self, values: Sequence[int]) -> Ints:
        return Ints(values)

    def texts(self, values: Sequence[str]) -> Texts:
        return Texts(values)

    def walk(self, realm: int, query: WalkQuery) -> list[tuple[int, int, int]]:
        known = f"f.until = {NEVER}"
        if query.known_at is not None:
            known = "f.at <= %(known_at)s and f.until > %(known_at)s"
        of = "and f.relation = any(%(relations)s)" if query.relations else ""
        along = " union all ".join(
            ALONG.format(to=to, at=at, known=known, of=of) for to, at in DIRECTIONS[query.direction]
        )
        values = {
            "start": query.start,
            "hops": query.hops,
            "realm": realm,
            "as_of": query.as_of,
            "known_at": query.known_at,
            "relations": Texts(query.relations),
            "limit": query.limit + 1,
        }
        found = self._link.execute(WALK.format(along=along), values).fetchall()
        return found  # type: ignore[return-value]  # rows of three numbers


@lru_cache(maxsize=64)
def _here(sql: str) -> str:
    listed = sql.replace("{s}", "perdure.").replace("in {ids}", "= any(?)").replace("in {texts}", "= any(?)")
    return listed.replace("?", "%s")
