"""`perdure db` and `perdure doctor` on a PostgreSQL store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

from .conftest import PostgresServer

pytest.importorskip("psycopg", reason='no psycopg: `pip install "perdure[postgres]"`')

from perdure.db.postgres.connection import newest_version


@pytest.fixture
def empty_url(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.new_database()
    yield postgres.url(name)
    postgres.sql(f"drop database {name} with (force)")


def with_password(url: str) -> str:
    """The server trusts everybody, so that any password will do."""
    return url.replace("://postgres:@", "://postgres@").replace("://postgres@", "://postgres:s3cret@", 1)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_url: str) -> Cli:
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("cli_scene", None)
    made = Cli(tmp_path)
    made.store = with_password(empty_url)
    return made


@pytest.mark.parametrize(
    "command", [["runs", "ls"], ["db", "check"], ["db", "info"], ["approvals", "ls"]], ids=" ".join
)
def test_looking_does_not_make_a_store(command: list[str], cli: Cli) -> None:
    said = cli(*command)
    assert (said.code, said.stdout) == (3, "")
    assert "there is no store" in said.stderr
    assert cli("db", "migrate", "--dry-run", "--json").json["steps"] == list(range(1, newest_version() + 1))


def test_what_is_said_of_a_store(cli: Cli) -> None:
    assert cli("db", "migrate", "--json").json["steps"] == list(range(1, newest_version() + 1))
    assert cli("db", "migrate", "--json").json["steps"] == []
    for run in ("r1", "r2"):
        cli.begin("asks", run)
    cli.begin("order", "good", "--input", '{"item": "tea"}')
    told = cli("db", "info", "--json").json
    assert (told["kind"], told["version"], told["runs"]) == ("postgresql", newest_version(), {"pending": 3})
    cli.work()
    told = cli("db", "info", "--json").json
    assert told["runs"] == {"succeeded": 1, "waiting": 2}
    assert told["waiting_since"] == min(cli.record(run)["updated_at"] for run in ("r1", "r2"))
    assert told["bytes"] > 100_000
    assert told["sessions"] == []
    said = cli("db", "info")
    assert "3: 1 succeeded, 2 waiting" in said.stdout
    checked = cli("db", "check", "--json").json
    assert (checked["runs"], checked["faults"]) == (3, [])
    assert checked["entries"] == told["entries"]
    assert "the database is sound, 3 runs" in cli("db", "check").stdout


def test_check_names_the_run_that_was_changed(cli: Cli, postgres: PostgresServer) -> None:
    cli.begin("order", "bad", "--input", '{"item": "tea"}')
    cli.work()
    name = cli.store.partition("?")[0].rpartition("/")[2]
    postgres.sql("update perdure.entries set payload = '4' where key = 'price'", name)
    said = cli("db", "check")
    assert said.code == 3
    assert "run `bad`: entry 3 (`price`) is not what was written" in said.stderr
    assert cli("db", "check", "--quick").code == 0
    assert cli("doctor").code == 1


def test_check_names_settings_and_grants(cli: Cli, postgres: PostgresServer) -> None:
    cli("db", "migrate")
    name = cli.store.partition("?")[0].rpartition("/")[2]
    postgres.sql(f"alter database {name} set synchronous_commit = off", name)
    said = cli("db", "check", "--quick")
    assert said.code in (2, 3)
    assert "would lose what it has acknowledged" in said.stderr
    ill = cli("doctor", "--json")
    assert {c["check"]: c["state"] for c in ill.json["checks"]}["store"] == "fail"


def test_doctor_on_a_database(cli: Cli) -> None:
    well = cli("doctor", "--json").json
    assert {c["check"]: c["found"] for c in well["checks"]}["store"].endswith("the first run makes them")
    cli.begin("asks", "r")
    well = cli("doctor", "--json").json
    assert well["ok"]
    assert f"schema version {newest_version()}" in {c["check"]: c["found"] for c in well["checks"]}["store"]


def test_nothing_that_is_said_holds_the_password(cli: Cli) -> None:
    assert "s3cret" in cli.store
    cli.begin("doubts", "r")
    cli.work()
    for command in (
        ["db", "path"],
        ["db", "info"],
        ["db", "migrate"],
        ["doctor"],
        ["runs", "show", "r"],
        ["worker", "--once"],
        ["run", "asks", "--no-wait"],
    ):
        for json in ([], ["--json"]):
            said = cli(*command, *json)
            assert said.code == 0, said
            assert "s3cret" not in said.stdout + said.stderr, command
