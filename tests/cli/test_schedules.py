"""`perdure schedules`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.cli.conftest import Cli

SCENE = Path(__file__).with_name("schedule_scene.py")


def declared(cli: Cli) -> None:
    """A worker has been there whose code declares schedules, and is gone."""
    sys.modules.pop("schedule_scene", None)
    answer = cli("worker", "--once", "--app", f"{SCENE}:app")
    assert answer.code == 0, answer


def test_listing(cli: Cli) -> None:
    cli.begin("asks", "r")
    empty = cli("schedules", "ls")
    assert empty.code == 0 and "no schedule; a worker whose code declares one" in empty.stderr
    declared(cli)

    rare, yearly = cli("schedules", "ls", "--json").json

    assert (yearly["schedule"], yearly["agent"], yearly["version"]) == ("yearly", "yearly", "1")
    assert (yearly["cron"], yearly["timezone"], yearly["every_us"]) == ("0 0 1 1 *", "Europe/Rome", None)
    assert "January" in yearly["words"]
    assert yearly["next"].endswith("-12-31T23:00:00Z")
    assert yearly["upcoming"][0] == yearly["next"] and len(yearly["upcoming"]) == 5
    assert (yearly["overlap"], yearly["catch_up"], yearly["input"], yearly["labels"]) == (
        "buffer",
        "latest",
        "it",
        {"team": "a"},
    )
    assert (yearly["paused"], yearly["orphaned"], yearly["last_run"], yearly["missed"]) == (
        False,
        True,
        None,
        0,
    )
    assert (rare["every_us"], rare["timezone"], rare["jitter_us"]) == (
        300 * 86_400_000_000,
        None,
        3_600_000_000,
    )

    table = cli("schedules", "ls").stdout
    assert "0 0 1 1 * Europe/Rome" in table and "orphaned: no live worker declares it" in table


def test_showing_one(cli: Cli) -> None:
    declared(cli)
    shown = cli("schedules", "show", "yearly").stdout
    for part in ("overlap  buffer", 'input    "it"', "catch up latest", "labels   team=a", "started  0"):
        assert part in shown
    assert shown.count("(in ") == 5
    assert "jitter   up to 1 h" in cli("schedules", "show", "rare").stdout


def test_pausing_and_resuming(cli: Cli) -> None:
    declared(cli)
    assert cli("schedules", "pause", "yearly").code == 0
    assert cli("schedules", "show", "yearly", "--json").json["paused"]
    again = cli("schedules", "pause", "yearly")
    assert again.code == 5 and "is paused already; `perdure schedules resume yearly" in again.stderr
    assert "paused" in cli("schedules", "ls").stdout
    assert "fires again, next at" in cli("schedules", "resume", "yearly").stdout
    assert cli("schedules", "resume", "yearly").code == 5


def test_triggering_a_run_now(cli: Cli) -> None:
    declared(cli)
    run = cli("schedules", "trigger", "yearly", "--json").json["run"]
    declared(cli)  # a worker, once more
    record = cli.record(run)
    assert record["status"] == "succeeded"
    assert record["labels"]["schedule"] == "yearly" and record["labels"]["team"] == "a"
    (listed,) = cli("runs", "ls", "--label", "schedule=yearly", "--json").json
    assert listed["run"] == run
    assert cli("schedules", "show", "yearly", "--json").json["started"] == 0


def test_removing(cli: Cli) -> None:
    declared(cli)
    assert cli("schedules", "rm", "rare").code == 0
    assert [s["schedule"] for s in cli("schedules", "ls", "--json").json] == ["yearly"]
    for command in ("show", "pause", "resume", "trigger", "rm"):
        answer = cli("schedules", command, "rare", "--json")
        assert answer.code == 4
        assert answer.json["error"]["message"] == "no schedule `rare` (known: `yearly`)"


def test_a_schedule_of_a_live_worker_cannot_be_removed(cli: Cli) -> None:
    worker = cli.start("worker", "--json", "--app", f"{SCENE}:app")
    assert worker.stdout is not None
    assert json.loads(worker.stdout.readline())["event"] == "ready"

    assert "orphaned" not in cli("schedules", "ls").stdout
    refused = cli("schedules", "rm", "yearly")
    assert refused.code == 2 and "or `perdure schedules pause yearly`" in refused.stderr

    worker.terminate()
    assert cli.finish(worker).code == 0
    assert cli("schedules", "rm", "yearly").code == 0


def test_names_are_completed(cli: Cli) -> None:
    from perdure.cli.complete import schedule_names

    declared(cli)
    context: Any = SimpleNamespace(params={"store": cli.store}, parent=None)
    assert schedule_names(context, "ye") == [("yearly", "yearly")]
    assert schedule_names(context, "x") == []
