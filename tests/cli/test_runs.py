"""Starting, looking, answering, settling: what a person does with runs."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import SCENE, Cli


def test_run_works_until_the_end_and_prints_the_result(cli: Cli) -> None:
    said = cli("run", "order", "--input", '{"item": "tea", "count": 2}', "--id", "r", "--label", "for=ada")
    assert said.code == 0, said
    assert json.loads(said.stdout) == {"total": 6}
    for fact in ("order version 1 started", "price", "priced 1/1", 'chose "bike": it is near', "succeeded"):
        assert fact in said.stderr
    assert cli.record("r")["labels"] == {"for": "ada"}


def test_run_by_the_same_id_is_the_same_run(cli: Cli) -> None:
    for _ in range(2):
        answer = cli("run", "order", "--input", '{"item": "tea"}', "--id", "r", "--json")
        assert (answer.code, answer.json["status"], answer.json["result"]) == (0, "succeeded", {"total": 3})
    assert cli.record("r")["claims"] == 1


def test_input_from_a_file_and_from_stdin(cli: Cli) -> None:
    Path("order.json").write_text('{"item": "tea", "count": 5}')
    assert cli("run", "order", "--input", "@order.json", "--json").json["result"] == {"total": 15}
    assert cli("run", "order", "--input", "-", "--json", input='{"item": "tea"}').json["result"] == {
        "total": 3
    }


def test_a_run_that_fails_exits_with_1_and_shows_where(cli: Cli) -> None:
    said = cli("run", "fails", "--id", "r")
    assert (said.code, said.stdout) == (1, "")
    assert "error: run `r` failed OutOfStock: no \\u001b[31mtea" in said.stderr
    answer = cli("run", "fails", "--id", "r", "--json")
    assert answer.code == 1
    assert answer.json["failure"]["type"] == "cli_scene:OutOfStock"
    shown = cli("runs", "show", "r")
    assert "OutOfStock: no \\u001b[31mtea" in shown.stdout
    assert 'raise OutOfStock("no' in shown.stdout
    assert "\x1b" not in shown.stdout
    assert cli("runs", "tail", "-f", "r").code == 1
    assert cli("runs", "tail", "r").code == 0


def test_a_deadline_cancels(cli: Cli) -> None:
    answer = cli("run", "sleeps", "--deadline", "10ms", "--json")
    assert (answer.code, answer.json["status"]) == (1, "cancelled")


def test_run_says_how_to_answer_and_goes_on_with_the_answer(cli: Cli, until: Callable[..., None]) -> None:
    process = cli.start("run", "asks", "--id", "r")
    until(lambda: Path("test.db").exists() and cli("approvals", "ls", "--json").json, "the question")
    shown = cli("approvals", "show", "r")
    assert "Send it?" in shown.stdout
    assert "choices: now, later" in shown.stdout
    approved = cli("approvals", "approve", "r", "--reason", "fine", "--value", '"now"', "--by", "grace")
    assert approved.stdout == "r ask: approved by grace\n"
    said = cli.finish(process)
    assert (said.code, json.loads(said.stdout)) == (0, "True grace fine now")
    options = f"--store {cli.store}"
    assert f"perdure approvals approve r ask --value now {options}" in said.stderr
    assert f"perdure approvals approve r ask --value later {options}" in said.stderr
    assert f"perdure approvals deny r ask --reason WHY {options}" in said.stderr


def test_denying(cli: Cli) -> None:
    cli.begin("asks", "r")
    cli.work()
    cli("approvals", "deny", "r", "ask", "--reason", "too dear", "--by", "grace")
    again = cli("approvals", "approve", "r", "--value", "now")
    assert again.code == 5
    assert "was answered already" in again.stderr
    cli.work()
    assert cli.record("r")["result"] == "False grace too dear None"
    closed = cli("approvals", "approve", "r", "ask")
    assert closed.code == 4
    assert "no open question at step `ask`; open: none" in closed.stderr


def test_what_a_human_is_shown_hides_nothing(cli: Cli) -> None:
    cli.begin("hides", "r")
    cli.work()
    for shown in (cli("approvals", "show", "r"), cli("runs", "show", "r"), cli("approvals", "ls")):
        assert not re.search("[\u202e\u200b\x07\x1b]", shown.stdout)
        assert "Pay \\u202egnp.exe to p\\u0430ypal?\\u001b[2J" in shown.stdout
    shown = cli("approvals", "show", "r").stdout
    assert '"zero\\u200bwidth": "\\u0007"' in shown
    assert "careful: hidden characters" in shown
    assert "mixes Cyrillic and Latin letters" in shown


def test_a_write_in_doubt_is_shown_with_the_lines_that_settle_it(cli: Cli) -> None:
    cli.begin("doubts", "r")
    cli.work()
    shown = cli("runs", "show", "r").stdout
    assert "TimeoutError: no answer from Ada" in shown
    assert 'send({"to": "Ada"})' in shown
    assert f"perdure runs settle r send --happened RESULT --store {cli.store}" in shown
    assert f"perdure runs settle r send --did-not-happen --store {cli.store}" in shown
    assert '@app.tool(effect="idempotent")' in shown
    assert cli.record("r")["in_doubt"][0]["step"] == "send"
    assert "for a write in doubt" in cli("runs", "ls").stdout
    assert "a write is in doubt: r" in cli("doctor").stdout


def test_settling_that_it_happened(cli: Cli) -> None:
    cli.begin("doubts", "r")
    cli.work()
    # a result that does not fit is refused by the run, and it asks again
    assert cli("runs", "settle", "r", "send", "--happened", "5").code == 0
    twice = cli("runs", "settle", "r", "send", "--happened", '"sent"')
    assert twice.code == 5
    assert "was settled by" in twice.stderr
    cli.work()
    assert "the result that was given does not fit" in cli("runs", "show", "r").stdout
    assert cli("runs", "settle", "r", "send", "--happened", '"sent"', "--by", "grace").code == 0
    cli.work()
    record = cli.record("r")
    assert (record["status"], record["result"], record["in_doubt"]) == ("succeeded", "sent", [])
    assert "says grace" in next(s["note"] for s in record["steps"] if s["step"] == "send")


def test_settling_that_it_did_not_happen_raises_what_it_raised(cli: Cli) -> None:
    cli.begin("doubts", "r")
    cli.work()
    assert cli("runs", "settle", "r", "send", "--did-not-happen").code == 0
    cli.work()
    record = cli.record("r")
    assert (record["status"], record["failure"]["message"]) == ("failed", "no answer from Ada")


def test_a_signal_counts_once(cli: Cli) -> None:
    cli.begin("receives", "r")
    first = cli("signal", "r", "reply", '"yes"', "--message-id", "m1", "--json").json
    second = cli("signal", "r", "reply", '"no"', "--message-id", "m1", "--json").json
    assert (first["fresh"], second["fresh"]) == (True, False)
    cli.work()
    assert cli.record("r")["result"] == "yes"


def test_pause_and_resume(cli: Cli) -> None:
    cli.begin("asks-then-works", "r")
    cli.work()
    assert cli("runs", "pause", "r").code == 0
    cli("approvals", "approve", "r")
    cli.work()
    assert cli.record("r")["reasons"] == ["paused"]
    assert "for `runs resume`" in cli("runs", "ls").stdout
    assert cli("runs", "resume", "r").code == 0
    cli.work()
    assert cli.record("r")["status"] == "succeeded"


def test_cancel_and_terminate(cli: Cli) -> None:
    for run in ("soft", "hard"):
        cli.begin("asks", run)
    cli.work()
    cli("runs", "cancel", "soft", "--reason", "changed my mind", "--by", "ada")
    assert cli.record("soft")["status"] == "waiting"
    cli("runs", "cancel", "hard", "--terminate", "--by", "ada")
    assert cli.record("hard")["status"] == "cancelled"
    cli.work()
    soft = cli.record("soft")
    assert soft["status"] == "cancelled"
    assert "cancelled by ada: changed my mind" in soft["failure"]["message"]
    assert cli("approvals", "ls", "--json").json == []


def test_runs_are_found_by_what_they_are(cli: Cli) -> None:
    cli.begin("asks", "a1", "--label", "for=ada", "--label", "n=1")
    cli.begin("asks", "a2", "--label", "for=bob")
    cli.begin("receives", "r1")
    cli.work()

    def found(*options: str) -> list[str]:
        return [r["run"] for r in cli("runs", "ls", "--json", *options).json]

    assert found() == ["r1", "a2", "a1"]
    assert found("--agent", "asks") == ["a2", "a1"]
    assert found("--label", "for=ada") == ["a1"]
    assert found("--reason", "signal") == ["r1"]
    assert found("--status", "waiting", "--status", "failed", "--limit", "1") == ["r1"]
    assert found("--status", "succeeded") == []
    assert cli("runs", "ls", "--status", "succeeded").stderr == "no such runs\n"


def test_entries_and_raw(cli: Cli) -> None:
    cli("run", "order", "--input", '{"item": "tea"}', "--id", "r")
    kinds = [e["kind"] for e in cli("runs", "show", "r", "--raw", "--json").lines]
    assert kinds == ["started", "claimed", "result", "progress", "decision", "ended"]
    assert [e["kind"] for e in cli("runs", "show", "r", "--entries", "--json").json["journal"]] == kinds
    for kind in kinds:
        assert kind in cli("runs", "show", "r", "--entries").stdout
        assert f"kind={kind}" in cli("runs", "show", "r", "--raw").stdout
    assert [e["kind"] for e in cli("runs", "tail", "r", "--json").lines] == kinds


def test_tail_follows_to_the_end(cli: Cli, until: Callable[..., None]) -> None:
    cli.begin("asks", "r")
    process = cli.start("runs", "tail", "-f", "r")
    cli.work()
    until(lambda: cli("approvals", "ls", "--json").json, "the question")
    assert process.poll() is None
    assert cli("approvals", "approve", "r", "--value", "later", "--by", "grace").code == 0
    cli.work()
    said = cli.finish(process)
    assert said.code == 0
    assert said.stdout.splitlines()[-1].endswith("succeeded")
    assert "approved by grace" in said.stdout


def test_an_export_verifies_anywhere(cli: Cli) -> None:
    cli("run", "order", "--input", '{"item": "t\u00e9a"}', "--id", "r")
    assert cli("runs", "export", "r", "--out", "r.jsonl").code == 0
    exported = Path("r.jsonl").read_text()
    assert cli("runs", "export", "r").stdout == exported
    assert json.loads(exported.splitlines()[0])["entries"] == 6
    Path("test.db").unlink()
    verified = cli("runs", "verify", "r.jsonl", "--json", bare=True)
    assert (verified.code, verified.json["ok"], verified.json["entries"]) == (0, True, 6)
    assert cli("runs", "verify", "-", input=exported, bare=True).code == 0


@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (
            lambda lines: [*lines[:3], lines[3].replace('load": "3"', 'load": "4"'), *lines[4:]],
            "entry 3 (`price`)",
        ),
        (lambda lines: lines[:-1], "ends at entry 5 and should end at entry 6"),
        (lambda lines: [*lines[:2], *lines[3:]], "entry 2 is missing"),
        (lambda lines: [lines[0].replace('"run": "r"', '"run": "s"'), *lines[1:]], "entry 1 (`started`)"),
        (lambda lines: [*lines[:2], "{}", *lines[3:]], "line 3 is not an entry"),
        (lambda lines: [*lines[:2], lines[2].replace('"seq": 2', '"seq": "2"'), *lines[3:]], "entry"),
        (
            lambda lines: [lines[0].replace('"entries": 6', '"entries": 5'), *lines[1:]],
            "should end at entry 5",
        ),
    ],
    ids=["payload", "cut", "hole", "another run", "no entry", "another type", "header"],
)
def test_a_forged_export_is_refused(forge: Callable[[list[str]], list[str]], message: str, cli: Cli) -> None:
    cli("run", "order", "--input", '{"item": "tea"}', "--id", "r")
    cli("runs", "export", "r", "--out", "r.jsonl")
    lines = Path("r.jsonl").read_text().splitlines()
    forged = forge(lines)
    assert forged != lines
    Path("r.jsonl").write_text("\n".join(forged))
    said = cli("runs", "verify", "r.jsonl")
    assert said.code == 3, said
    assert message in said.stderr


def test_on_a_terminal_there_are_colours_and_a_line_that_lives(cli: Cli) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "perdure.cli", *cli.options, "run", "order", "--input", '{"item": "tea"}'],
        stdout=terminal,
        stderr=terminal,
        stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "TERM": "xterm-256color", "COLUMNS": "80", "LANG": "C.UTF-8"}
        | ({"PYTHONPATH": ":".join(p for p in sys.path if p)}),
    )
    shown = b""
    os.close(terminal)
    while True:
        try:
            chunk = os.read(controller, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(controller)
    assert process.wait(timeout=60) == 0
    text = shown.decode()
    assert "\x1b[32m✓" in text
    assert "starting" in text or "running" in text
    assert '"total": 3' in text


@pytest.mark.parametrize("columns", ["20", "60", "200"])
def test_no_line_is_wider_than_the_terminal(columns: str, cli: Cli) -> None:
    for agent in ("order", "asks", "doubts", "fails"):
        options = ["--input", '{"item": "tea"}'] if agent == "order" else []
        cli.begin(agent, f"a-run-with-a-long-id-{agent}", *options)
    cli.work()
    if int(columns) >= 40:  # names and reasons give way, what stands in a column of its own does not
        listed = cli("runs", "ls", columns=columns).stdout
        assert all(status in listed for status in ("succeeded", "waiting", "failed")), listed
        shown = cli("runs", "show", "a-run-with-a-long-id-doubts", columns=columns).stdout
        assert "in doubt: " in shown
    for run in ("order", "asks", "doubts", "fails"):
        for view in (["runs", "ls"], ["runs", "show", f"a-run-with-a-long-id-{run}"], ["approvals", "ls"]):
            said = cli(*view, columns=columns)
            assert said.code == 0
            for line in said.stdout.splitlines():
                # commands are printed whole, to be pasted
                assert len(line.rstrip()) <= int(columns) or "perdure " in line or "@app.tool" in line, line


def test_a_reader_that_leaves_is_no_error(cli: Cli) -> None:
    cli("run", "order", "--input", '{"item": "tea"}', "--id", "r")
    command = f"{sys.executable} -m perdure.cli --store {cli.store} runs show r --raw | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert SCENE.exists()
