"""Knowledge on a FalkorDB server: many workers may share it; a graph for each tenant.

A query is all or nothing, and the server carries out one that writes at a time. So a write reads, and then writes all
in one query, on condition that the realm is as it was when it was read; where somebody was faster it begins anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import quote

from falkordb import FalkorDB  # type: ignore[import-untyped]
from redis.exceptions import RedisError, ResponseError

from ...core.errors import StoreError, StoreUnavailable
from ...memory import Whose
from ...memory.knowledge.ledger import View
from . import queries
from .view import FalkorView, Query, first_id

__all__ = ["FalkorLedger"]

T = TypeVar("T")

PATIENCE_SECONDS = 10.0
"""For an answer."""
MOST_TRIES = 200
"""Of a write that others are faster than; each waits a little longer. A write takes one or two milliseconds."""
STRIPES = 64

log = logging.getLogger("perdure.memory")


class FalkorLedger:
    """The `Ledger` of the server at `url` (`falkordb://HOST:PORT`). `now` for tests; else it is the server's clock."""

    def __init__(
        self, url: str, *, password: str | None = None, now: Callable[[], int] | None = None
    ) -> None:
        self.url = url
        self._now = now
        made: Any = FalkorDB  # its arguments are untyped
        self._db: Any = made.from_url(
            f"redis{url.removeprefix('falkordb')}" if url.startswith("falkordb") else url,
            password=password,
            socket_timeout=PATIENCE_SECONDS,
            socket_connect_timeout=3.0,
            health_check_interval=30,
            client_name="perdure",
        )
        self._graphs: dict[str, Any] = {}
        # Of one process's writes in a realm only one is on its way: they would only be in each other's.
        self._turns = [threading.Lock() for _ in range(STRIPES)]

    async def read(self, realm: Whose, function: Callable[[View], T]) -> T:
        """What `function` finds, at a moment at which nobody wrote."""
        return await asyncio.to_thread(self._read, realm, function)

    def _read(self, realm: Whose, function: Callable[[View], T]) -> T:
        name = _name(realm)
        first = first_id(realm.tenant, name)
        query = self._asking(realm.tenant, reads=True)
        before = _version(query, name)
        while True:
            found = function(FalkorView(query, name, first=first, now=self._time(), ids=before[1]))
            after = _version(query, name)
            if after == before:
                return found
            before = after

    async def write(self, realm: Whose, locks: Sequence[str], function: Callable[[View], T]) -> T:
        """Do what `function` does, where nobody has written to the realm since it was read."""
        return await asyncio.to_thread(self._write, realm, function)

    def _write(self, realm: Whose, function: Callable[[View], T]) -> T:
        name = _name(realm)
        first = first_id(realm.tenant, name)
        query = self._asking(realm.tenant)
        with self._turns[hash((realm.tenant, name)) % STRIPES]:
            for tries in range(MOST_TRIES):
                v, ids = _version(query, name)
                if v < 0:
                    query(
                        queries.MAKE_REALM,
                        {"realm": name, "subject": realm.subject or "", "agent": realm.agent or ""},
                    )
                    v, ids = _version(query, name)
                view = FalkorView(query, name, first=first, now=self._time(), ids=ids)
                result = function(view)
                change = view.commit(v)
                if change is None or query(*change):
                    return result
                time.sleep(random.uniform(0, min(0.001 * (tries + 1), 0.05)))
        raise StoreUnavailable(
            f"`{self.url}`: others wrote to the same knowledge {MOST_TRIES} times in a row; nothing was written"
        )

    async def realms(self, tenant: str) -> list[Whose]:
        """Those of a tenant."""
        rows = await asyncio.to_thread(lambda: self._asking(tenant, reads=True)(queries.REALMS, {}))
        return [Whose(tenant, row[0] or None, row[1] or None) for row in rows]

    async def forget(self, realm: Whose) -> int:
        """Delete all that is known in a realm."""

        def run() -> int:
            query, values = self._asking(realm.tenant), {"realm": _name(realm)}
            query(queries.FORGOTTEN, values)  # what others write of it from here on they have to read anew
            gone = sum(row[0] for text in queries.FORGET for row in query(text, values))
            query(queries.FORGOTTEN, values)
            return gone

        return await asyncio.to_thread(run)

    async def close(self) -> None:
        """End the connections."""
        await asyncio.to_thread(self._db.connection.connection_pool.disconnect)

    def _asking(self, tenant: str, *, reads: bool = False) -> Query:
        graph = self._graph(tenant)

        def query(text: str, values: Mapping[str, Any]) -> list[list[Any]]:
            try:
                ask = graph.ro_query if reads else graph.query
                return cast("list[list[Any]]", ask(text, dict(values)).result_set)
            except (RedisError, OSError) as error:
                raise self._named(error) from error

        return query

    def _graph(self, tenant: str) -> Any:
        graph = self._graphs.get(tenant)
        if graph is None:
            graph = self._db.select_graph(f"perdure:knowledge:{tenant}")
            for index in queries.INDEXES:
                try:
                    graph.query(index)
                except ResponseError as error:
                    if "already indexed" not in str(error):
                        raise self._named(error) from error
                except (RedisError, OSError) as error:
                    raise self._named(error) from error
            self._warn_of_loss()
            self._graphs[tenant] = graph
        return graph

    def _warn_of_loss(self) -> None:
        if self._graphs:
            return
        try:
            told = self._db.connection.config_get("append*")
        except (RedisError, OSError):
            return  # who may not ask has somebody who has seen to it
        kept = {_text(name): _text(value) for name, value in told.items()}
        if (kept.get("appendonly"), kept.get("appendfsync")) != ("yes", "always"):
            log.warning(
                "`%s` may lose what it has acknowledged: set `appendonly yes` and `appendfsync always`",
                self.url,
            )

    def _time(self) -> int:
        if self._now is not None:
            return self._now()
        try:
            seconds, micros = self._db.connection.time()
        except (RedisError, OSError) as error:
            raise self._named(error) from error
        return seconds * 1_000_000 + micros

    def _named(self, error: Exception) -> StoreError:
        kind = StoreError if isinstance(error, ResponseError) else StoreUnavailable
        return kind(
            f"the knowledge at `{self.url}` did not do it: {type(error).__name__}: {str(error)[:200]}"
        )


def _name(realm: Whose) -> str:
    return f"{quote(realm.subject or '', safe='')}@{quote(realm.agent or '', safe='')}"


def _version(query: Query, name: str) -> tuple[int, int]:
    """The realm's `v`, and how many ids were given; -1: it is not there yet."""
    found = query(queries.REALM, {"realm": name})
    return (found[0][0], found[0][1]) if found else (-1, 0)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
