"""A SQLite store that moves to another database."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import ConfigError, StoreError, StoreMoved
from ...journal import Entry
from ..transfer import LEFT_BEHIND, Head, Row
from . import queries
from .connection import (
    Connection,
    connect,
    moved_message,
    moved_to,
    named_errors,
    newest_version,
    refuse_newer,
    version_of,
)

__all__ = ["SqliteSource", "unmove"]

TABLES = "select name from sqlite_schema where type = 'table' and name not like 'sqlite%'"
HEADS = "select rid, tenant, id, head, head_hash, epoch, status from runs where rid > ? order by rid limit ?"
AT_WORK = """
    select id, label, (select count(*) from runs where session = s.id) from sessions s where expires > ? order by id
"""
LET_GO_ADRIFT = """
    update runs set status = 'pending', next_wake = ?1, ready = 1, session = null, alone = 0 where status = 'running'
"""
END_SESSIONS = "delete from sessions"
GUARDED = (
    ("insert", "sessions"),
    ("insert", "runs"),
    ("insert", "entries"),
    ("insert", "inbox"),
    ("update", "runs"),
    ("insert", "cells"),
    ("delete", "cells"),
    ("insert", "audit_leaves"),
    ("insert", "audit_checkpoints"),
    ("insert", "knowledge_writes"),
)
GUARD = """
    create trigger moved_{event}_{table} before {event} on {table}
    begin select raise(abort, {message}); end
"""
"""Whoever had the file open before can write nothing more to it, whatever release it is of."""
UNGUARD = "drop trigger if exists moved_{event}_{table}"
MARK = "insert into moved (url, at) values (?, ?)"
UNMARK = "delete from moved"

PAGE = 500
JSON_COLUMNS = {"reasons", "labels"}
OWN_COLUMNS = {("entries", "n")}


class SqliteSource:
    """The `Source` of a transfer."""

    def __init__(self, url: str) -> None:
        self.path = Path(url.removeprefix("sqlite:///")).absolute()
        self.name = str(self.path)
        self._connection: Connection | None = None

    @property
    def _c(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self.name)
        return self._connection

    def begin(self, *, force: bool, target: str) -> int:
        """Lock the file, and take every claim."""
        with named_errors(self.name):
            refuse_newer(self._c, self.name)
            if version_of(self._c) < newest_version():
                raise StoreError(f"`{self.name}` is of an older release: run `perdure db migrate` first")
            self._c.execute("begin immediate")
            elsewhere = moved_to(self._c)
            if elsewhere is not None and elsewhere != target:
                self._c.execute("rollback")
                raise StoreMoved(moved_message(self.name, elsewhere))
            _unmark(self._c)  # what an interrupted copy left; until the end nobody else sees it
            now = time.time_ns() // 1000
            live = self._c.execute(AT_WORK, (now,)).fetchall()
            if live and not force:
                self._c.execute("rollback")
                who = ", ".join(f"{id_} on {label} with {runs} runs" for id_, label, runs in live)
                raise StoreError(
                    f"`{self.name}` has workers: {who}. Stop them first; or `--force`, and they lose their runs"
                )
            for (session,) in self._c.execute(queries.EXPIRED, (now,)).fetchall():
                self._c.execute(queries.TAKE_OVER, (session, now))
            taken = 0
            for session, _, runs in live:
                self._c.execute(queries.LET_GO, (session, now))
                taken += runs
            self._c.execute(LET_GO_ADRIFT, (now,))
            self._c.execute(END_SESSIONS)
            return taken

    def counts(self) -> Mapping[str, int]:
        """Rows of each table."""
        tables = [row[0] for row in self._c.execute(TABLES).fetchall()]
        return {t: self._c.execute(f"select count(*) from {t}").get for t in tables if t not in LEFT_BEHIND}

    def columns(self, table: str) -> Sequence[str]:
        """Of a table."""
        found = self._c.execute("select name from pragma_table_info(?)", (table,)).fetchall()
        return [row[0] for row in found if (table, row[0]) not in OWN_COLUMNS]

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]:
        """All rows of a table."""
        with named_errors(self.name):
            for row in self._c.execute(f"select {_list(columns)} from {table}"):
                yield _plain(columns, row) if table == "runs" else row

    def heads(self) -> Iterator[Head]:
        """Every run, by `rid`."""
        after = 0
        while page := self._c.execute(HEADS, (after, PAGE)).fetchall():
            yield from page  # type: ignore[misc]  # rows of seven columns
            after = page[-1][0]

    def entries(self, rid: int, tenant: str, *, after: int, limit: int) -> list[Entry]:
        """A page of a journal."""
        with named_errors(self.name):
            return [Entry(*row) for row in self._c.execute(queries.READ_ENTRIES, (rid, tenant, after, limit))]

    def entry_rows(self, rid: int, columns: Sequence[str], *, after: int, limit: int) -> list[Row]:
        """The same page, as its rows."""
        sql = f"select {_list(columns)} from entries where rid = ? and seq > ? order by seq limit ?"
        return self._c.execute(sql, (rid, after, limit)).fetchall()

    def leave(self, url: str) -> None:
        """Mark the store as moved, and commit."""
        with named_errors(self.name):
            message = "'" + moved_message(self.name, url).replace("'", "''") + "'"
            self._c.execute(MARK, (url, time.time_ns() // 1000))
            for event, table in GUARDED:
                self._c.execute(GUARD.format(event=event, table=table, message=message))
            self._c.execute("commit")

    def stay(self) -> None:
        """Undo everything since `begin`, or the mark."""
        with named_errors(self.name):
            if not self._c.get_autocommit():
                self._c.execute("rollback")
            elif moved_to(self._c) is not None:
                unmove(self.name)
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def unmove(path: str) -> str:
    """Take the mark away: work goes on in the file again. Returns where it had moved to. Raises `ConfigError`."""
    connection = connect(path)
    try:
        with named_errors(path):
            connection.execute("begin immediate")
            url = moved_to(connection)
            if url is None:
                raise ConfigError(f"`{path}` has not moved")
            _unmark(connection)
            connection.execute("commit")
            return url
    finally:
        connection.close()


def _unmark(connection: Connection) -> None:
    for event, table in GUARDED:
        connection.execute(UNGUARD.format(event=event, table=table))
    connection.execute(UNMARK)


def _list(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _plain(columns: Sequence[str], row: Row) -> Row:
    values: list[Any] = list(row)
    for i, column in enumerate(columns):
        if column in JSON_COLUMNS:
            values[i] = json.loads(values[i])
    return tuple(values)
