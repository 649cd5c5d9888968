"""`perdure runs fork|retry`: what a person does with the past of runs."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Cli


@pytest.fixture
def terminal(cli: Cli) -> Callable[..., str]:
    """A command in a terminal, where a person types `answer`: what is to be seen."""

    def run(*arguments: str, answer: str) -> str:
        controller, end = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "perdure.cli", *cli.options, *arguments],
            cwd=cli.folder,
            stdin=end,
            stdout=end,
            stderr=end,
            env={**os.environ, "TERM": "dumb", "COLUMNS": "100"},
        )
        os.close(end)
        os.write(controller, answer.encode())
        shown = b""
        while True:
            try:
                chunk = os.read(controller, 65536)
            except OSError:
                break
            if not chunk:
                break
            shown += chunk
        os.close(controller)
        assert process.wait(timeout=60) == 0, shown
        return shown.decode()

    return run


def test_a_retry_is_made_once_and_works(cli: Cli) -> None:
    assert cli("run", "fails", "--id", "r").code == 1
    made = cli("runs", "retry", "r", "--json").json
    assert (made["of"], made["fresh"]) == ("r", True)
    assert cli("runs", "retry", "r", "--json").json == {**made, "fresh": False}
    said = cli("runs", "retry", "r")
    assert "was made before" in said.stdout and "--id" in said.stdout
    assert cli("runs", "retry", "r", "--id", "other").stdout.startswith("other: a retry of r")
    cli.work()
    assert cli.record("other")["status"] == "failed"
    assert "retry of r" in cli("runs", "show", "other").stdout


def test_a_fork_goes_on_from_a_step_with_another_input(cli: Cli) -> None:
    cli("run", "order", "--input", '{"item": "tea", "count": 2}', "--id", "r")
    said = cli(
        "runs", "fork", "r", "--from", "carrier", "--with", '{"item": "soap", "count": 9}', "--id", "f"
    )
    assert said.code == 0, said
    cli.work()
    shown = cli.record("f")
    assert (shown["result"], shown["input"]["item"]) == ({"total": 6}, "soap")
    assert shown["steps"][0]["note"] == "taken over from r"
    assert "asked with other arguments" in cli("runs", "tail", "f", "-v").stdout


def test_what_cannot_be_forked_or_retried_is_refused_with_the_reason(cli: Cli) -> None:
    cli("run", "order", "--input", '{"item": "tea"}', "--id", "r")
    said = cli("runs", "retry", "r")
    assert said.code == 5 and "--force" in said.stderr
    assert cli("runs", "retry", "r", "--force").code == 0
    said = cli("runs", "fork", "r", "--from", "prize")
    assert said.code == 4 and "`price`" in said.stderr
    said = cli("runs", "fork", "r", "--from", "carrier", "--with", '{"items": 3}')
    assert said.code == 2 and "`--with`" in said.stderr and '"item": string' in said.stderr
    assert cli("runs", "fork", "gone", "--from", "x").code == 4
    Path("none.json").unlink(missing_ok=True)
    assert cli("runs", "fork", "r", "--from", "carrier", "--with", "@none.json").code == 2


def test_a_run_that_began_again_is_shown_from_there_or_whole(cli: Cli) -> None:
    assert cli("run", "rounds", "--input", "0", "--id", "r").code == 0
    shown = cli.record("r")
    assert (shown["generation"], shown["input"], [s["step"] for s in shown["steps"]]) == (3, 2, ["round"])
    whole = cli("runs", "show", "r", "--all", "--json").json
    assert [s["step"] for s in whole["steps"]] == ["#1/round", "#2/round", "round"]
    said = cli("runs", "show", "r").stdout
    assert "generation  3, since" in said and "#1/round" not in said
    assert "begins again with new input, generation 2" in cli("runs", "tail", "r").stdout
    assert cli("runs", "verify", "r").code == 0
    cli("runs", "export", "r", "--out", "r.jsonl")
    assert cli("runs", "verify", "r.jsonl").code == 0
    assert len(cli("runs", "show", "r", "--all", "--raw", "--json").lines) == shown["entries"]


def orders(cli: Cli, *names: str, agent: str = "order") -> None:
    for name in names:
        cli("run", agent, *(["--input", '{"item": "tea"}'] if agent == "order" else []), "--id", name)


def test_many_are_retried_after_a_count_and_each_once(cli: Cli) -> None:
    orders(cli, "good")
    orders(cli, "a", "b", agent="fails")
    said = cli("runs", "retry", "--status", "failed")
    assert said.code == 2 and "2 runs would be retried" in said.stderr and "--yes" in said.stderr
    for _ in range(2):
        answer = cli("runs", "retry", "--status", "failed", "--agent", "fails", "--yes", "--json")
        assert (answer.code, answer.json) == (0, {"matched": 2, "done": 2, "refused": []})
    assert len(cli("runs", "ls", "--status", "pending", "--json").json) == 2
    answer = cli("runs", "retry", "--status", "succeeded", "--yes", "--json")
    assert (answer.code, answer.json["done"]) == (1, 0)
    assert answer.json["refused"][0]["run"] == "good" and "succeeded" in answer.json["refused"][0]["error"]
    for wrong in (["--since", "1d"], [], ["a", "--status", "failed"], ["--status", "failed", "--id", "x"]):
        assert cli("runs", "retry", *wrong, "--yes").code == 2, wrong
    assert (
        cli("runs", "retry", "--status", "failed", "--until", "2020-01-01", "--yes").stdout
        == "no such runs\n"
    )


def test_many_are_cancelled_by_filter(cli: Cli) -> None:
    for name in ("a", "b"):
        cli.begin("receives", name, "--label", f"for={name}")
    cli.work()
    answer = cli("runs", "cancel", "--waits-for", "signal", "--label", "for=a", "--yes", "--json")
    assert answer.json["done"] == 1
    cli.work()
    assert (cli.record("a")["status"], cli.record("b")["status"]) == ("cancelled", "waiting")
    assert "have ended already" in cli("runs", "cancel", "--status", "failed", "--yes").stderr


def test_the_count_is_asked_about_in_a_terminal(cli: Cli, terminal: Callable[..., str]) -> None:
    orders(cli, "a", agent="fails")
    shown = terminal("runs", "retry", "--status", "failed", answer="n\n")
    assert "1 run will be retried. Go on?" in shown and "left as they are" in shown
    assert len(cli("runs", "ls", "--json").json) == 1
    assert "1 of 1 run retried" in terminal("runs", "retry", "--status", "failed", answer="y\n")
    assert len(cli("runs", "ls", "--json").json) == 2


def test_pruning_leaves_the_row_and_a_chain_that_verifies(cli: Cli) -> None:
    orders(cli, "a", "b")
    assert cli("runs", "prune", "--older-than", "1d", "--yes").stdout == "no such runs\n"
    assert cli("runs", "prune", "--status", "succeeded", "--dry-run").stdout == "2 runs would be pruned\n"
    said = cli("runs", "prune", "a")
    assert said.code == 2 and "--yes" in said.stderr
    assert cli("runs", "prune", "a", "--yes").code == 0
    shown = cli.record("a")
    assert shown["pruned_at"] and shown["status"] == "succeeded" and shown["results"] == 1
    assert "tea" not in cli("runs", "show", "a", "--raw").stdout
    assert "pruned" in cli("runs", "show", "a").stdout and "pruned" in cli("runs", "ls").stdout
    assert cli("runs", "verify", "a").code == 0
    cli("runs", "export", "a", "--out", "a.jsonl")
    assert cli("runs", "verify", "a.jsonl").code == 0
    for command in (["fork", "a", "--from", "price"], ["retry", "a", "--force"]):
        said = cli("runs", *command)
        assert said.code == 5 and "pruned" in said.stderr
    said = cli("run", "order", "--input", '{"item": "tea"}', "--id", "a")
    assert said.code == 5 and "pruned" in said.stderr
    answer = cli("runs", "prune", "--status", "succeeded", "--yes", "--json").json
    assert (answer["matched"], answer["done"]) == (1, 1)
    assert cli("runs", "tail", "b").code == 0
    assert cli("db", "check").code == 0
    assert cli("db", "gc", "--json").json == {"deleted": 0}


def test_what_lives_or_is_not_named_is_not_pruned(cli: Cli) -> None:
    cli.begin("receives", "r")
    assert cli("runs", "prune", "r", "--yes").code == 5
    for wrong in ([], ["r", "--status", "failed"], ["--status", "waiting"]):
        assert cli("runs", "prune", *wrong, "--yes").code == 2, wrong


def test_a_worker_prunes_by_the_settings(cli: Cli, until: Callable[..., None]) -> None:
    orders(cli, "a")
    Path("perdure.toml").write_text('[retention.agents.order]\nsucceeded = "PT0.001S"\n')
    worker = cli.start("worker")
    until(lambda: cli.record("a")["pruned_at"] is not None, "pruning")
    worker.terminate()
    assert cli.finish(worker).code == 0
    Path("perdure.toml").write_text('[retention]\nsucceded = "P1D"\n')
    said = cli("worker", "--once")
    assert said.code == 2 and "retention.succeded" in said.stderr
