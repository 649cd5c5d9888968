"""`workers ls`, labels and priorities on the command line, and what `doctor` says of runs without a worker."""

import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from .conftest import Cli


def ready(process: Any) -> None:
    assert json.loads(process.stdout.readline())["event"] == "ready"


def test_workers_are_listed_with_what_they_serve_and_hold(cli: Cli, until: Any) -> None:
    cli.begin("holds", "r")
    worker = cli.start(
        "worker", "--json", "--lease", "1h", "-n", "3", "--label", "gpu", "--label", "region=eu"
    )
    ready(worker)
    until(lambda: Path("begun").exists(), "the step began")

    told = cli("workers", "ls", "--json").json
    (found,) = told["workers"]
    assert found["where"].endswith(f":{worker.pid}")
    assert (found["labels"], found["runs"], found["concurrency"]) == (["gpu", "region=eu"], 1, 3)
    assert {"agent": "holds", "version": "1"} in found["agents"]
    assert told["stranded"] == []
    shown = cli("workers", "ls", columns="300").stdout
    for text in (found["worker"], "1/3", "gpu region=eu", "holds@1"):
        assert text in shown
    Path("go").touch()


def test_what_no_worker_can_run_is_listed_with_what_to_do(cli: Cli) -> None:
    cli.begin("asks", "r", "--needs", "gpu", "--needs", "region=eu")
    cli.begin("asks", "plain")
    nobody = cli("workers", "ls")
    assert "no worker is alive" in nobody.stderr
    ready(cli.start("worker", "--json", "--label", "gpu"))

    (stranded,) = cli("workers", "ls", "--json").json["stranded"]
    assert (stranded["agent"], stranded["needs"], stranded["runs"]) == ("asks", ["gpu", "region=eu"], 1)
    assert stranded["reason"] == "no_worker_for_needs"
    said = cli("workers", "ls")
    assert "asks@1 with gpu region=eu" in said.stdout
    assert "perdure worker --label gpu --label region=eu" in said.stderr


def test_doctor_warns_of_what_no_worker_can_run(cli: Cli) -> None:
    cli.begin("asks", "r", "--needs", "gpu")
    ready(cli.start("worker", "--json"))
    store = apsw.Connection("test.db")
    store.set_busy_timeout(5000)  # the worker writes, too
    store.execute("update runs set next_wake = next_wake - 20000000")

    warned = [c for c in cli("doctor", "--json").json["checks"] if c["check"] == "workers"]

    assert [c["state"] for c in warned] == ["warn"]
    assert "`gpu`" in warned[0]["found"]
    assert warned[0]["do"] == "perdure workers ls"


@pytest.mark.parametrize("by", ["option", "setting", "variable"])
def test_a_worker_takes_what_its_labels_allow(by: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.begin("asks", "gpu", "--needs", "gpu")
    cli.begin("asks", "both", "--needs", "gpu", "--needs", "region=eu")
    cli.work()
    assert [cli.record(run)["status"] for run in ("gpu", "both")] == ["pending", "pending"]
    options = []
    if by == "option":
        options = ["--label", "gpu"]
    elif by == "setting":
        Path("perdure.toml").write_text('labels = ["gpu"]')
    else:
        monkeypatch.setenv("PERDURE_LABELS", "fast, gpu")

    assert cli("worker", "--once", *options).code == 0

    assert [cli.record(run)["status"] for run in ("gpu", "both")] == ["waiting", "pending"]


def test_priority_and_needs_are_shown(cli: Cli) -> None:
    cli.begin("asks", "r", "--priority", "7", "--needs", "gpu")

    record = cli.record("r")

    assert (record["priority"], record["needs"]) == (7, ["gpu"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["worker", "--label", "a b"],
        ["run", "asks", "--no-wait", "--needs", "a b"],
        ["run", "asks", "--no-wait", "--needs", ""],
        ["run", "asks", "--no-wait", "--priority", "1001"],
    ],
    ids=" ".join,
)
def test_labels_and_priorities_that_cannot_be(arguments: list[str], cli: Cli) -> None:
    said = cli(*arguments)
    assert said.code == 2, said
    assert f"`{arguments[-1]}`" in said.stderr


def test_settings_that_cannot_be(cli: Cli) -> None:
    for line in ('labels = ["a b"]', "labels = 3", "tenant_limit = 0"):
        Path("perdure.toml").write_text(line)
        said = cli("worker", "--once")
        assert said.code == 2, said
        assert line.partition(" ")[0] in said.stderr
