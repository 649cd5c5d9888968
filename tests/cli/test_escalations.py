"""`escalations`, `quarantine`, `doctor --contacts`, and how `runs show` tells of an ending."""

import json
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.endings.receiver import Receiver, receiving

from .conftest import Cli


@pytest.fixture
def desk() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_an_escalation_is_shown_listed_and_acknowledged(cli: Cli) -> None:
    ran = cli("run", "hands-over", "--id", "r", "--json")
    assert ran.code == 1
    assert (ran.json["status"], ran.json["why"], ran.json["context"]) == (
        "escalated",
        "nobody knows the way",
        {"map": None},
    )
    (listed,) = cli("escalations", "ls", "--json").json
    assert (listed["run"], listed["state"], listed["to"]) == ("r", "open", None)
    assert "nobody knows the way" in cli("escalations", "ls").stdout
    shown = cli("runs", "show", "r")
    for text in ("nobody knows the way", '"map": null', "OutOfStock: tea"):
        assert text in shown.stdout

    assert cli("escalations", "ack", "r", "--by", "ann", "--json").json["by"] == "ann"
    assert "acknowledged by ann" in cli("runs", "show", "r").stdout
    assert cli("escalations", "ls", "--json").json == []
    again = cli("escalations", "ack", "r", "--json")
    assert (again.code, again.json["error"]["type"]) == (4, "UnknownRun")


def test_a_partial_run_prints_what_there_is(cli: Cli) -> None:
    ran = cli("run", "half", "--id", "r")
    assert ran.code == 1
    assert json.loads(ran.stdout) == [1]
    assert "partial the rest is closed" in ran.stderr
    shown = cli("runs", "show", "r").stdout
    assert "the rest is closed" in shown and "missing" in shown
    assert "the rest is closed" in cli("runs", "ls").stdout


def test_doctor_proves_that_contacts_can_be_reached(cli: Cli, desk: Receiver) -> None:
    Path("perdure.toml").write_text(
        f'[contacts.desk]\nwebhook = "{desk.url}"\n[contacts.gone]\nwebhook = "http://127.0.0.1:1"\n'
    )
    told = cli("doctor", "--contacts", "--json")
    found = {c["found"][:6]: c["state"] for c in told.json["checks"] if c["check"] == "contacts"}
    assert (told.code, found) == (1, {"`desk`": "ok", "`gone`": "fail"})
    assert desk.posts[0].told["type"] == "test" and "Test:" in desk.posts[0].told["subject"]


def test_a_run_is_released_from_quarantine(cli: Cli) -> None:
    cli.begin("order", "r", "--input", '{"item": "tea"}')
    assert cli("quarantine", "release", "r").code == 5
    apsw.Connection("test.db").execute("update runs set status = 'quarantined', reasons = '[\"it died\"]'")
    (held,) = cli("quarantine", "ls", "--json").json
    assert (held["run"], held["reasons"]) == ("r", ["it died"])
    assert "it died" in cli("quarantine", "ls").stdout
    assert cli("quarantine", "release", "r", "--json").json["released"]
    assert cli("quarantine", "ls", "--json").json == []
    cli.work()
    assert cli.record("r")["status"] == "succeeded"


def test_outcomes_are_said_shown_and_filtered_by(cli: Cli) -> None:
    for name in ("good", "bad", "new"):
        cli.begin("order", name, "--input", '{"item": "tea"}')
    cli.work()
    cli.begin("asks", "open")
    assert cli("outcome", "good", "--met", "--by", "ann", "--evidence", "it was paid").code == 0
    cli("outcome", "bad", "--met", "--by", "ann")
    cli("outcome", "bad", "--not-met", "--by", "bob", "--evidence", '{"ticket": 7}')

    told = cli("outcome", "bad", "--json").json
    assert told["met"] is False
    assert [(o["met"], o["by"], o["evidence"]) for o in told["outcomes"]] == [
        (True, "ann", None),
        (False, "bob", {"ticket": 7}),
    ]
    assert "met, says ann: it was paid" in cli("runs", "show", "good").stdout
    for outcome, runs in (("met", ["good"]), ("not-met", ["bad"]), ("unknown", ["new"])):
        assert [r["run"] for r in cli("runs", "ls", "--outcome", outcome, "--json").json] == runs
    assert cli("runs", "ls", "--outcome", "perhaps").code == 2
    assert cli("outcome", "open", "--met").code == 5
    assert cli("outcome", "good", "--evidence", "x").code == 2
