"""`perdure check`: what a deploy would do to the runs that have not ended."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

APP = f"{Path(__file__).with_name('deploys.py')}:app"


@pytest.fixture
def deploy(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def load(code: str) -> None:
        monkeypatch.setenv("DEPLOY", code)
        sys.modules.pop("deploys", None)

    load("before")
    for agent in ("steady", "changing", "gone"):
        cli.begin(agent, f"{agent}-1", "--app", APP)
    assert cli("worker", "--once", "--app", APP).code == 0
    return load


def test_the_code_that_runs_breaks_nothing(cli: Cli, deploy: object) -> None:
    answer = cli("check", "--app", APP)
    assert answer.code == 0, answer
    assert "3 runs that have not ended: 3 would go on" in answer.stdout
    assert "patch late: no run takes the old way" in answer.stderr


def test_a_deploy_that_would_break_a_run_is_told_with_the_step(
    cli: Cli, deploy: Callable[[str], None]
) -> None:
    deploy("after")
    journal = cli("runs", "show", "changing-1", "--raw", "--json").stdout
    answer = cli("check", "--app", APP, "--json")
    assert answer.code == 1, answer
    told = answer.json
    assert (told["ok"], told["checked"], told["replay"], told["break"]) == (False, 3, 1, 1)
    assert told["absent"] == [{"agent": "gone", "version": "1", "runs": 1}]
    (broken,) = told["runs"]
    assert (broken["run"], broken["step"], broken["verdict"]) == ("changing-1", "first", "breaks")
    assert broken["recorded"]["entry"] == 3
    assert broken["requested"] == {"step": "new", "what": "a new step"}
    assert cli("runs", "show", "changing-1", "--raw", "--json").stdout == journal

    said = cli("check", APP)
    assert said.code == 1
    assert "entry 3: first (result)" in said.stdout and "new: a new step" in said.stdout
    assert "no code here for gone@1: keep a worker of that version until its 1 run has ended" in said.stdout
    assert "run.patched(NAME)" in said.stdout and "1 would break, 1 without code here" in said.stdout


def test_what_is_looked_at_can_be_narrowed(cli: Cli, deploy: Callable[[str], None]) -> None:
    deploy("after")
    assert cli("check", APP, "--agent", "steady", "--json").json["checked"] == 1
    assert cli("check", APP, "--limit", "1", "--json").json["checked"] == 1
    assert cli("check", APP, "--tenant", "other", "--json").json["checked"] == 0
    assert cli("check", APP, "--agent", "gone").code == 1
    assert cli("check", APP, "--agent", "gone", "--allow-absent").code == 0
    assert cli("check", APP, "--agent", "steady").code == 0


def test_code_that_hangs_is_told_and_holds_nobody_up(cli: Cli, deploy: Callable[[str], None]) -> None:
    cli.begin("hanging", "hanging-1", "--app", APP)
    deploy("after")
    answer = cli("check", APP, "--agent", "hanging", "--within", "100ms", "--json")
    assert answer.code == 1 and answer.json["runs"][0]["verdict"] == "stuck", answer
    assert "within 0.1 s" in answer.json["runs"][0]["why"]


def test_code_that_holds_up_the_thread_is_left_and_shown(
    cli: Cli, deploy: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.begin("hanging", "hanging-1", "--app", APP)
    deploy("after")
    monkeypatch.setenv("HOW", "busily")
    answer = cli.finish(cli.start("check", APP, "--agent", "hanging", "--within", "100ms"))
    assert answer.code == 1 and "in hanging" in answer.stderr, answer


def test_a_run_that_has_ended_is_nobodys_concern(cli: Cli, deploy: Callable[[str], None]) -> None:
    for run in ("changing-1", "gone-1"):
        assert cli("runs", "cancel", run, "--terminate").code == 0
    deploy("after")
    answer = cli("check", APP)
    assert answer.code == 0 and "1 run that has not ended: 1 would go on" in answer.stdout


def test_there_must_be_a_store(cli: Cli) -> None:
    answer = cli("check", APP)
    assert answer.code == 3 and "there is no store" in answer.stderr
    assert not (cli.folder / "test.db").exists()


def test_where_the_behaviour_changed_is_marked(cli: Cli, deploy: Callable[[str], None]) -> None:
    assert "new behaviour" not in cli("runs", "show", "steady-1").stdout
    deploy("other")
    cli("runs", "resume", "steady-1")
    assert cli("worker", "--once", "--app", APP).code == 0
    (first, *changes) = cli.record("steady-1")["behaviour"]
    assert first["changed"] == [] and set(first["parts"]) == {"code", "tools", "models", "perdure"}
    assert changes == [], "the same code claimed it again"

    deploy("tooled")
    cli("runs", "resume", "steady-1")
    assert cli("worker", "--once", "--app", APP).code == 0
    (_, change) = cli.record("steady-1")["behaviour"]
    assert change["changed"] == ["tools"] and change["digest"] != first["digest"]
    shown = cli("runs", "show", "steady-1").stdout
    assert "new behaviour" in shown and "changed: tools" in shown
    assert "changed since: tools" in cli("runs", "tail", "steady-1").stdout


def test_a_run_that_does_not_replay_shows_its_ways_out_and_they_work(
    cli: Cli, deploy: Callable[[str], None]
) -> None:
    deploy("after")
    cli("runs", "resume", "changing-1")
    assert cli("worker", "--once", "--app", APP).code == 0
    shown = cli("runs", "show", "changing-1", "--app", APP).stdout
    assert "entry 3 is `first`, and the code asked for `new`: a new step" in shown
    assert "perdure runs resume changing-1 --store" in shown
    assert "perdure runs fork changing-1 --from first --store" in shown
    assert "perdure runs resume changing-1 --accept --store" in shown

    assert cli("runs", "resume", "changing-1", "--even-writes").code == 2
    answer = cli("runs", "resume", "changing-1", "--accept", "--by", "ann", "--app", APP, "--json")
    assert answer.code == 0 and answer.json["set_aside"] == ["first", "word"], answer
    assert cli("signal", "changing-1", "word", '"go"').code == 0
    assert cli("worker", "--once", "--app", APP).code == 0
    record = cli.record("changing-1")
    assert record["status"] == "succeeded" and record["mismatch"] is None
    assert [s["step"] for s in record["steps"]] == [
        "first (set aside)", "word (set aside)", "new", "first", "word"
    ]  # fmt: skip
    assert "accepted by ann: 2 steps are set aside" in cli("runs", "tail", "changing-1").stdout

    again = cli("runs", "resume", "changing-1", "--accept", "--app", APP)
    assert again.code == 5 and "has ended" in again.stderr


def test_the_code_that_recorded_it_carries_it_on(cli: Cli, deploy: Callable[[str], None]) -> None:
    deploy("after")
    cli("runs", "resume", "changing-1")
    assert cli("worker", "--once", "--app", APP).code == 0
    assert cli.record("changing-1")["reasons"] == ["nondeterministic"]
    deploy("before")
    cli("runs", "resume", "changing-1")
    cli("signal", "changing-1", "word", '"go"')
    assert cli("worker", "--once", "--app", APP).code == 0
    assert cli.record("changing-1")["status"] == "succeeded"
