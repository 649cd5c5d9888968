"""SQLite, opened read-only: an authorizer sees to each table, column and function that a statement touches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import apsw

from ...context.databases import Answer, Column, DatabaseResult, Dialect
from ...context.databases.selects import FUNCTIONS
from ...core.errors import ConfigError
from .port import Allowed, Limits

__all__ = ["SqliteReader"]

R = TypeVar("R")

_LONGEST_VALUE = 10_000_000
"""bytes of any text or blob, also of one that a function makes"""
_STEPS = 5_000
"""instructions between two looks at the clock"""
_COLUMNS = 'SELECT name, type, "notnull" FROM pragma_table_xinfo(?) ORDER BY cid'
_VIEWS = "SELECT name FROM sqlite_schema WHERE type = 'view'"
_INSIDE = frozenset({"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"})
"""Functions that nobody calls here, whoever wrote the query."""


class SqliteReader:
    """One file."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: str, *, functions: Sequence[str] = ()) -> None:
        self._path = path
        self._functions = FUNCTIONS | {name.lower() for name in functions} | {"like", "glob"}

    async def tables(self, allowed: Allowed, *, seconds: float) -> dict[str, list[Column]]:
        """Those of the listed columns that are there, by table."""

        def look(connection: Any) -> dict[str, list[Column]]:
            found: dict[str, list[Column]] = {}
            for name, listed in allowed.items():
                rows = list(connection.execute(_COLUMNS, (name,)))
                wanted = None if listed == "*" else {column.lower() for column in listed}
                columns = [
                    Column(name=str(column), type=str(kind).lower(), nullable=not strict)
                    for column, kind, strict in rows
                    if wanted is None or str(column).lower() in wanted
                ]
                if columns:
                    found[name] = columns
            return found

        return await self._within(look, seconds)

    async def rows(
        self, sql: str, values: Mapping[str, Any], *, limits: Limits, only: Mapping[str, Sequence[str]] | None
    ) -> DatabaseResult:
        """What one query gives, up to its limits."""

        def ask(connection: Any) -> DatabaseResult:
            connection.authorizer = self._guard(only, _reads_of_views(connection, only or {}))
            cursor = connection.cursor()
            bound = {name: _bound(value) for name, value in values.items()}
            cursor.execute(sql, bound if bound else None)
            answer: Answer | None = None
            for row in cursor:
                answer = answer or Answer(
                    [d[0] for d in cursor.get_description()], rows=limits.rows, most=limits.characters
                )
                if not answer.take(row):
                    break
            return DatabaseResult(columns=[], rows=[]) if answer is None else answer.result

        return await self._within(ask, limits.seconds)

    async def warnings(self, *, seconds: float) -> list[str]:
        """Nothing: whatever the account may do, the file is opened read-only."""
        await self._within(lambda connection: None, seconds)
        return []

    def _guard(
        self, only: Mapping[str, Sequence[str]] | None, by_views: set[tuple[str, str, str]]
    ) -> Callable[..., int]:
        tables = None if only is None else {t.lower(): {c.lower() for c in cs} for t, cs in only.items()}

        def look(
            action: int, first: str | None, second: str | None, _: str | None, within: str | None
        ) -> int:
            match action:
                case apsw.SQLITE_SELECT:
                    fine = True
                case apsw.SQLITE_FUNCTION:
                    name = (second or "").lower()
                    fine = name not in _INSIDE and (tables is None or name in self._functions)
                case apsw.SQLITE_READ:
                    table, column, view = _lower(first), _lower(second), _lower(within)
                    listed = None if tables is None else tables.get(table)
                    fine = (
                        tables is None
                        or (listed is not None and (not column or column in listed))
                        or (view, table, column) in by_views
                    )
                case apsw.SQLITE_RECURSIVE:
                    fine = tables is None
                case _:
                    fine = False
            return apsw.SQLITE_OK if fine else apsw.SQLITE_DENY

        return look

    async def _within(self, work: Callable[[Any], R], seconds: float) -> R:
        """In a thread, on a connection of its own, at most so long."""
        deadline = time.monotonic() + seconds

        def run() -> R:
            connection = self._opened()
            try:
                connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
                return work(connection)
            except apsw.InterruptError as error:
                raise TimeoutError(f"it took longer than {seconds:g} s") from error
            finally:
                connection.close()

        return await asyncio.to_thread(run)

    def _opened(self) -> apsw.Connection:
        if not Path(self._path).is_file():
            raise ConfigError(f"there is no file `{self._path}`")
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        connection = apsw.Connection(f"file:{quote(str(Path(self._path).resolve()))}?mode=ro", flags=flags)
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)  # else a column that is not there is a text
        connection.config(
            apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0
        )  # a view calls no function that could do harm
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0)
        connection.limit(apsw.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
        connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_busy_timeout(2_000)
        return connection


def _reads_of_views(connection: Any, only: Mapping[str, Sequence[str]]) -> set[tuple[str, str, str]]:
    """What the listed views read themselves: the view, the table and the column.

    SQLite tells an authorizer within which view something is read, and says the same of a `WITH` of that name; so it is
    not the name of a view that opens a table, but what the view was seen to read.
    """
    listed = {name.lower() for name in only}
    views = [str(name) for (name,) in connection.execute(_VIEWS) if str(name).lower() in listed]
    seen: set[tuple[str, str, str]] = set()

    def note(action: int, first: str | None, second: str | None, _: str | None, within: str | None) -> int:
        if action == apsw.SQLITE_READ and within is not None:
            seen.add((_lower(within), _lower(first), _lower(second)))
        return apsw.SQLITE_OK

    for view in views:
        connection.authorizer = note
        connection.execute('EXPLAIN SELECT * FROM "{}"'.format(view.replace('"', '""')))
    return seen


def _lower(text: str | None) -> str:
    return (text or "").lower()


def _bound(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else str(value)
