"""PostgreSQL, in a transaction that is read-only, by a cursor that takes nothing but a SELECT."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import psycopg
from psycopg import AsyncConnection, AsyncRawServerCursor
from psycopg.conninfo import conninfo_to_dict

from ...context.databases import Answer, Column, DatabaseResult, Dialect, numbered
from ...core.errors import ConfigError
from .port import Allowed, Limits

__all__ = ["PostgresReader"]

_BATCH = 50
_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_SETTINGS = """
SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $1, true),
       set_config('idle_in_transaction_session_timeout', $1, true)
"""
_NOBODYS_PATH = "SELECT set_config('search_path', '', true)"
_MAY = """
SELECT r.rolsuper,
       pg_has_role(r.oid, 'pg_write_server_files', 'member')
         OR pg_has_role(r.oid, 'pg_read_server_files', 'member')
         OR pg_has_role(r.oid, 'pg_execute_server_program', 'member'),
       (SELECT string_agg(format('%s.%s', t.nspname, t.relname), ', ') FROM (
           SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
             AND n.nspname NOT LIKE 'pg_toast%'
             AND has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
           ORDER BY 1, 2 LIMIT 5) t)
FROM pg_roles r WHERE r.rolname = current_user
"""


class PostgresReader:
    """One database, by one role."""

    dialect: Dialect = "postgres"

    def __init__(self, url: str) -> None:
        """Raises `ConfigError` for a URL that cannot be read: libpq's own error would say it, password and all."""
        try:
            conninfo_to_dict(url)
        except psycopg.Error:
            raise ConfigError("is not one that PostgreSQL's client can read") from None
        self._url = url

    async def tables(self, allowed: Allowed, *, seconds: float) -> dict[str, list[Column]]:
        """Those of the listed columns that are there, by table."""
        found: dict[str, list[Column]] = {}
        async with self._reading(seconds) as connection:
            for name, listed in allowed.items():
                schema, _, bare = name.rpartition(".")
                rows = await self._all(connection, _COLUMNS, [schema or "public", bare])
                columns = [
                    Column(name=str(column), type=str(kind), nullable=bool(nullable))
                    for column, kind, nullable in rows
                    if listed == "*" or column in listed
                ]
                if columns:
                    found[name] = columns
        return found

    async def rows(
        self, sql: str, values: Mapping[str, Any], *, limits: Limits, only: Mapping[str, Sequence[str]] | None
    ) -> DatabaseResult:
        """What one query gives, up to its limits."""
        text, order = numbered(sql, values) if values else (sql, [])
        async with self._reading(limits.seconds) as connection:
            if only is not None:  # each of its tables says its schema; what does not is none
                await self._all(connection, _NOBODYS_PATH, [])
            async with AsyncRawServerCursor[tuple[Any, ...]](connection, "perdure") as cursor:
                await cursor.execute(cast("Any", text), [values[name] for name in order])
                answer = Answer(
                    [c.name for c in cursor.description or ()], rows=limits.rows, most=limits.characters
                )
                while batch := await cursor.fetchmany(min(_BATCH, limits.rows + 1)):
                    if not all(answer.take(row) for row in batch):
                        break
                return answer.result

    async def warnings(self, *, seconds: float) -> list[str]:
        """What the role could do if it were not held in a transaction that only reads."""
        async with self._reading(seconds) as connection:
            ((superuser, files, tables),) = await self._all(connection, _MAY, [])
        found: list[str] = []
        if superuser:
            found.append("its role is a superuser, for whom functions read files and end connections")
        elif files:
            found.append("its role may read or write files of the server, or run programs there")
        if tables:
            found.append(f"its role may change tables ({tables}): give it a role that may only SELECT")
        return found

    @asynccontextmanager
    async def _reading(self, seconds: float) -> AsyncGenerator[AsyncConnection[tuple[Any, ...]]]:
        async with asyncio.timeout(seconds):
            connection = await AsyncConnection.connect(
                self._url,
                autocommit=False,
                connect_timeout=max(2, int(seconds)),
                application_name="perdure reads",
            )
            try:
                await connection.set_read_only(True)  # of each transaction, from its BEGIN on
                await self._all(connection, _SETTINGS, [f"{max(1, int(seconds * 1000))}ms"])
                yield connection
            except psycopg.errors.QueryCanceled as error:
                raise TimeoutError(f"it took longer than {seconds:g} s") from error
            finally:
                await connection.close()

    @staticmethod
    async def _all(
        connection: AsyncConnection[tuple[Any, ...]], sql: str, values: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        async with psycopg.AsyncRawCursor[tuple[Any, ...]](connection) as cursor:
            await cursor.execute(cast("Any", sql), values)
            return await cursor.fetchall()
