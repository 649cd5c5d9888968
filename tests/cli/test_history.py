"""`perdure runs fork|retry`: what a person does with the past of runs."""

from pathlib import Path

from .conftest import Cli


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
