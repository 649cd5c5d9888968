"""`perdure audit erase`, and what commands say of runs about a person: with the key, without it, and after it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from perdure.identity import MasterKeys
from tests.places import PostgresServer

from .conftest import Cli

ITEM = '{"item": "wintergreen"}'


@pytest.fixture
def about(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A store with two runs about a customer: one has ended, one asks for an order."""
    monkeypatch.setenv("PERDURE_MASTER_KEY", MasterKeys.new())
    cli.begin("order", "bought", "--input", ITEM, "--subject", "customer:1")
    cli.begin("asks-how-much", "asks", "--subject", "customer:1")
    cli.begin("order", "other", "--input", ITEM)
    cli.work()
    return cli


def test_it_says_what_it_would_do_and_does_it_when_told(about: Cli) -> None:
    cli = about
    would = cli("audit", "erase", "customer:1", "--dry-run", "--json").json
    assert (would["runs"], would["in_flight"], would["dry_run"]) == (2, 1, True)
    unsure = cli("audit", "erase", "customer:1")
    assert unsure.code == 2
    assert "add `--yes`" in unsure.stderr
    assert cli("runs", "show", "bought", "--json").json["result"] == {"total": 3}

    done = cli("audit", "erase", "customer:1", "--yes", "--by", "user:officer", "--json")
    assert done.code == 0
    assert (done.json["runs"], done.json["ended"], done.json["by"]) == (2, ["asks"], "user:officer")
    assert done.json["left"] == ""
    record = cli.record(done.json["record"])
    assert record["status"] == "succeeded"
    assert record["result"]["runs"] == 2
    assert record["agent"] == "perdure.erasure"
    assert {r["run"]: r["status"] for r in cli("runs", "ls", "--subject", "customer:1", "--json").json} == {
        "asks": "cancelled",
        "bought": "succeeded",
    }
    assert cli("db", "check").code == 0
    assert cli("runs", "verify", "bought").code == 0
    again = cli("audit", "erase", "customer:1", "--yes", "--json")
    assert again.json == done.json
    assert "wintergreen" in cli("runs", "show", "other", "--entries", "--json").stdout
    refused = cli("run", "order", "--input", ITEM, "--subject", "customer:1", "--no-wait")
    assert refused.code == 5
    assert "was erased" in refused.stderr


def test_nobody_of_that_name(about: Cli) -> None:
    answer = about("audit", "erase", "customer:2", "--yes", "--json")
    assert answer.code == 4
    assert answer.json["error"]["type"] == "UnknownSubject"


def test_an_export_from_before_holds_it_and_one_from_after_verifies(about: Cli, tmp_path: Path) -> None:
    cli = about
    before, after = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    assert cli("runs", "export", "bought", "--out", str(before)).code == 0
    assert cli("audit", "erase", "customer:1", "--yes").code == 0
    assert cli("runs", "export", "bought", "--out", str(after)).code == 0
    assert "wintergreen" in before.read_text()
    assert "wintergreen" not in after.read_text()
    Path("test.db").unlink()
    for export in (before, after):
        assert cli("runs", "verify", str(export), bare=True).code == 0
    heads = [
        [line["hash"] for line in map(json.loads, file.read_text().splitlines()) if "hash" in line]
        for file in (before, after)
    ]
    assert heads[0] == heads[1]


def test_without_the_key_it_is_seen_that_they_are_sealed(about: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli, key = about, os.environ["PERDURE_MASTER_KEY"]
    monkeypatch.setenv("PERDURE_MASTER_KEY", MasterKeys.new())
    assert cli("db", "check").code == 0
    tail = cli("runs", "tail", "bought")
    assert tail.code == 0
    assert "sealed" in tail.stdout
    shown = cli("runs", "show", "bought", "--entries")
    assert shown.code == 0
    assert "wintergreen" not in shown.stdout
    assert cli("runs", "ls").code == 0
    assert cli("approvals", "ls").code == 0
    refused = cli("signal", "asks", "word", '"x"')
    assert refused.code == 3
    assert "cannot be opened here" in refused.stderr
    erase = cli("audit", "erase", "customer:1", "--yes")
    assert erase.code == 3  # a run is in flight, and nobody could write its end: nothing was begun
    monkeypatch.setenv("PERDURE_MASTER_KEY", key)
    assert cli("signal", "asks", "word", '"x"').code == 0


def test_sealed_runs_move_to_postgres(about: Cli, postgres: PostgresServer) -> None:
    cli = about
    name = postgres.new_database()
    url = postgres.url(name)
    try:
        assert cli("db", "copy", url).code == 0
        there = Cli(cli.folder)
        there.store = url
        assert there.record("bought")["result"] == {"total": 3}
        step = there("approvals", "ls", "--json").json[0]["step"]
        assert there("approvals", "approve", "asks", step, "--value", ITEM).code == 0
        there.work()
        assert there.record("asks")["result"] == "wintergreen 1"
        done = there("audit", "erase", "customer:1", "--yes", "--json").json
        assert done["runs"] == 2
        assert "write-ahead log" in done["left"]
    finally:
        postgres.drop_database(name)
