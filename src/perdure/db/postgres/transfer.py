"""A PostgreSQL database that a store moves to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import psycopg

from ...core.errors import StoreError, StoreUnavailable
from ..transfer import LEFT_BEHIND, Head, Row
from .arrays import Texts
from .connection import LOCK_SECONDS, Link, blockers, check_schema, named_errors, shown
from .rows import coded_labels
from .working import add_words

__all__ = ["PostgresTarget"]

COLUMNS = """
    select a.attname, format_type(a.atttypid, null)
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'perdure' and c.relname = %(table)s and a.attnum > 0 and not a.attisdropped order by a.attnum
"""
TABLES = """
    select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'perdure' and c.relkind = 'r' order by c.relname
"""
HEADS = """
    select rid, tenant, id, head, head_hash, epoch, status from perdure.runs
    where rid > %(after)s order by rid limit 1000
"""
TORN = """
    select r.tenant || '/' || r.id from perdure.runs r
    left join perdure.entries e on e.rid = r.rid and e.seq = r.head
    where e.hash is distinct from r.head_hash limit 10
"""
LOCK_RUNS = "lock table perdure.runs in share row exclusive mode"
NEXT_RID = """
    select setval(pg_get_serial_sequence('perdure.runs', 'rid'), (select max(rid) from perdure.runs))
    where exists (select 1 from perdure.runs)
"""
NUMBERED = {
    **{"working_items": "n", "working_spaces": "id", "working_models": "id"},
    **{"knowledge_realms": "realm", "knowledge_writes": "id", "knowledge_entities": "id"},
    **{"knowledge_names": "n", "knowledge_facts": "version"},
}
"""Tables whose rows are numbered by the database, and where: it goes on behind what was copied."""
NEXT = """
    select setval(pg_get_serial_sequence('perdure.{table}', '{column}'), (select max({column}) from perdure.{table}))
    where exists (select 1 from perdure.{table})
"""
TEXTS = "select n, space, text from perdure.working_items where n > %(after)s order by n limit 500"
ALL_MOVED = """
    insert into perdure.audit_moved (rids, at)
    select array_agg(rid), max(updated_at) from perdure.runs group by rid / 500
"""
"""What the audit log has not seen yet, nobody can tell by the rows: it looks at all runs once."""


class PostgresTarget:
    """The `Target` of a transfer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = shown(url)
        self._link = Link(url)
        self._types: dict[str, dict[str, str]] = {}
        self._expected = 0

    def begin(self) -> bool:
        """Make the tables if need be, and lock them; whether there are no runs yet."""
        check_schema(self._link, self.name)
        with named_errors(self.name):
            tables = [t for t in self._tables() if t not in LEFT_BEHIND]
            listed = ", ".join(f"perdure.{t}" for t in tables)
            try:
                self._link.execute(
                    f"begin; set local lock_timeout = '{LOCK_SECONDS}s'; set local idle_in_transaction_session_timeout "
                    f"= 0; set local statement_timeout = 0; lock table {listed} in share row exclusive mode"
                )
            except psycopg.errors.LockNotAvailable:
                self._link.drop()
                who = ", ".join(blockers(self._link)) or "somebody who has just left"
                raise StoreUnavailable(f"`{self.name}` is in use by {who}; stop it, and try again") from None
            return not any(self.counts().values())

    def columns(self, table: str) -> Sequence[str]:
        """Of a table."""
        with named_errors(self.name):
            found = dict(self._link.execute(COLUMNS, {"table": table}).fetchall())
        self._types[table] = found
        return list(found)

    def load(self, table: str, columns: Sequence[str], rows: Iterator[Row]) -> None:
        """Write rows by COPY."""
        types = [self._types[table][column] for column in columns]
        convert = [_conversion(column, kind) for column, kind in zip(columns, types, strict=True)]
        needed = [(i, function) for i, function in enumerate(convert) if function is not None]
        listed = ", ".join(f'"{column}"' for column in columns)
        row: Row = ()
        try:
            cursor = self._link.get().cursor()
            with cursor.copy(f"copy perdure.{table} ({listed}) from stdin (format binary)".encode()) as copy:
                copy.set_types(types)
                for row in rows:
                    if needed:
                        values = list(row)
                        for i, function in needed:
                            values[i] = function(values[i])
                        row = tuple(values)
                    copy.write_row(row)
            if (counted := NUMBERED.get(table)) is not None:
                self._link.execute(NEXT.format(table=table, column=counted))
            if table == "working_items":
                self._index_words()
            if table == "runs":
                self._link.execute(NEXT_RID)
                self._link.execute(ALL_MOVED)
        except (psycopg.DataError, UnicodeError, OverflowError) as error:
            where = ", ".join(f"{c} `{v}`" for c, v in zip(columns, row, strict=False) if c in _NAMING)
            why = " ".join(str(error).split())
            raise StoreError(
                f"`{self.name}` cannot hold a row of `{table}` ({where}): {why}; nothing was copied"
            ) from error
        except psycopg.Error as error:
            with named_errors(self.name):
                raise error

    def counts(self) -> Mapping[str, int]:
        """Rows of each table."""
        with named_errors(self.name):
            found: dict[str, int] = {}
            for table in self._tables():
                if table not in LEFT_BEHIND:
                    row = self._link.execute(f"select count(*) from perdure.{table}").fetchone()
                    assert row is not None
                    found[table] = row[0]
            self._expected = found.get("runs", 0)
            return found

    def heads(self) -> Iterator[Head]:
        """Every run, by `rid`."""
        after = 0
        while page := self._link.execute(HEADS, {"after": after}).fetchall():
            yield from page  # type: ignore[misc]  # rows of seven columns
            after = page[-1][0]

    def torn(self) -> list[str]:
        """Runs whose last entry is not the one that their row names."""
        with named_errors(self.name):
            return [row[0] for row in self._link.execute(TORN).fetchall()]

    def commit(self) -> None:
        """Make it last."""
        with named_errors(self.name):
            done = self._link.execute("commit").statusmessage
        if done != "COMMIT":
            raise StoreError(f"`{self.name}` rolled the copy back (`{done}`)")
        try:
            self._link.execute("analyze perdure.runs, perdure.entries")
            self._link.execute(f"analyze {', '.join(f'perdure.{table}' for table in NUMBERED)}")
        except psycopg.Error:
            pass  # only the plans of the first minutes are worse
        self._link.drop()

    def arrived(self) -> bool | None:
        """Whether the commit happened after all."""
        self._link.drop()
        try:
            # Waits for a commit that is still under way.
            self._link.execute(f"begin; set local lock_timeout = '30s'; {LOCK_RUNS}")
            row = self._link.execute("select count(*) from perdure.runs").fetchone()
            self._link.execute("rollback")
        except psycopg.Error:
            self._link.drop()
            return None
        assert row is not None
        return row[0] == self._expected

    def undo(self) -> None:
        """Undo everything since `begin`."""
        self._link.drop()

    def _index_words(self) -> None:
        """Words are indexed by each database in its own way."""
        after = 0
        while page := self._link.execute(TEXTS, {"after": after}).fetchall():
            after = page[-1][0]
            for space, rows in groupby(page, key=lambda row: row[1]):
                add_words(self._link, space, [(n, text) for n, _, text in rows])

    def _tables(self) -> list[str]:
        return [row[0] for row in self._link.execute(TABLES).fetchall()]


_NAMING = {"tenant", "id", "rid", "seq", "name", "key"}


def _conversion(column: str, kind: str) -> Callable[[Any], Any] | None:
    """What a plain value must become for a column of that type."""
    if column == "reasons":
        return _coded
    if column == "labels" and kind != "text":
        return lambda labels: Texts(coded_labels(labels))
    return bool if kind == "boolean" else None


def _coded(reasons: Sequence[str]) -> Texts:
    return Texts([json.dumps(reason) for reason in reasons])
