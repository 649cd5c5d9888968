"""The demo, run as a user runs it, and held to what it prints."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DESK = ROOT / "examples" / "sales_desk"

PUBLIC = {
    *("perdure", "perdure.identity", "perdure.journal", "perdure.memory", "perdure.memory.knowledge"),
    *("perdure.server", "perdure.testing"),
}
"""Packages with a public face; what is deeper is private."""

KEYS = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"}


@contextmanager
def demo(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """The demo in a process group of its own, so that nothing of it outlives a test that fails."""
    environment = {k: v for k, v in os.environ.items() if k not in KEYS and not k.startswith("DESK_")}
    process = subprocess.Popen(
        [sys.executable, str(DESK / "demo.py"), *map(str, arguments)],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        with process:
            yield process
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The summary of a demo with one more lead and one more document than the repository has."""
    folder = tmp_path_factory.mktemp("desk")
    data = folder / "data"
    data.mkdir()
    shutil.copytree(DESK / "documents", data / "documents")
    shutil.copy(DESK / "leads.csv", data)
    with (data / "leads.csv").open("a", encoding="utf-8") as leads:
        leads.write("Aurora Foundry,Nils Berg,Plant Engineer,nils@aurora-foundry.example,dropped in\n")
    (data / "documents" / "aurora.txt").write_text(
        "Aurora Foundry casts pump housings.\n\n- Aurora Foundry lost eleven shifts to a crane bearing\n",
        encoding="utf-8",
    )
    with demo("--yes", "--json", "--data", data, "--keep", folder / "kept") as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return {**json.loads(out), "said": err, "kept": folder / "kept"}


def lead(played: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in played["leads"] if each["lead"] == name)


def test_two_kills_and_every_check_holds(played: dict[str, Any]) -> None:
    assert played["ok"]
    assert [check["what"] for check in played["checks"] if not check["holds"]] == []
    assert [worker["killed"] for worker in played["workers"]] == [True, True, False]
    assert played["kills"] == 2


def test_each_mail_once(played: dict[str, Any]) -> None:
    log = [json.loads(line) for line in (played["kept"] / "smtp.jsonl").read_text().splitlines()]
    assert len(log) == played["mails_accepted"] == 6
    assert len({mail["message_id"] for mail in log}) == len({mail["to"] for mail in log}) == 6
    assert len(list((played["kept"] / "sent-mail" / "new").iterdir())) == 6
    assert played["mails_sent_twice"] == 0
    for each in played["leads"]:
        assert each["mails_recorded"] == each["mails_accepted"] == (each["outcome"] == "sent")


def test_verify_found_the_mail_that_no_journal_knew_of(played: dict[str, Any]) -> None:
    found = [each["lead"] for each in played["leads"] if each["found_sent"]]
    assert len(found) == played["verify_found"] == 1
    assert played["verify_asked"] >= 1


def test_no_finished_step_was_repeated(played: dict[str, Any]) -> None:
    repeats = played["repeats"]
    assert repeats["repeated_after_result"] == 0
    assert repeats["without_execution"] == 0
    assert repeats["finished"] > 50
    assert repeats["begun_again"] >= 1, "the first kill was to cut a call off"
    cut_off = repeats["begun_again"] + repeats["sent_after_all"]
    assert repeats["executions"] >= repeats["finished"] + cut_off


def test_a_dropped_in_lead_is_worked_on_from_its_document(played: dict[str, Any]) -> None:
    assert lead(played, "Aurora Foundry")["outcome"] == "sent"
    mails = [mail.read_text() for mail in (played["kept"] / "sent-mail" / "new").iterdir()]
    assert [mail for mail in mails if "nils@aurora-foundry.example" in mail and "eleven shifts" in mail]


def test_a_node_fails_alone(played: dict[str, Any]) -> None:
    halden = lead(played, "Halden Ferries")
    assert halden["outcome"] == "nothing sent"
    assert halden["reason"] == "no document names Halden Ferries"
    assert halden["status"] == "succeeded"
    assert [each["lead"] for each in played["leads"] if each["outcome"] != "sent"] == ["Halden Ferries"]


def test_it_says_what_is_not_real(played: dict[str, Any]) -> None:
    assert played["scripted"]
    assert played["tokens"] == {"input": 0, "output": 0, "cost": 0.0}
    said = " ".join(played["said"].split())
    assert "a scripted one" in said
    assert "the demo approves all of them itself" in said


COUNTING = """
import sys
sys.path.insert(0, sys.argv[1])
from evidence import count_repeats
from executions import Execution
from stories import Line, Story
from perdure.journal import Entry, Kind

def story(recorded_at):
    entry = Entry(2, 1, Kind.RESULT, "plan/turn", recorded_at, 1, "w", 1, 1, b"", b"", b"{}", b"")
    return Story(lead="A", run="r", status="succeeded", report=None, lines=[Line("r", "plan", "A", entry, {})])

def count(*times):
    done = [Execution(at=at, pid=1, what="model", about="A: plan/turn") for at in times]
    repeats = count_repeats([story(100)], done)
    return repeats.repeated_after_result, repeats.begun_again, repeats.without_execution

assert count(90) == (0, 0, 0)
assert count(50, 90) == (0, 1, 0), "cut off, and begun again"
assert count(90, 120) == (1, 0, 0), "executed again although it had its result"
assert count() == (0, 0, 1), "the evidence is missing"
"""


def test_the_counting_sees_a_repeated_step() -> None:
    subprocess.run([sys.executable, "-c", COUNTING, str(DESK)], check=True, timeout=30)


def test_interrupted_it_leaves_no_process(tmp_path: Path) -> None:
    with demo("--yes", "--keep", tmp_path / "kept") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "worker 1 starts" in line:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)


def test_a_folder_that_it_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    with demo("--yes", "--keep", tmp_path) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "--keep" in err
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("file", sorted((ROOT / "examples").rglob("*.py")), ids=lambda file: file.name)
def test_examples_import_what_is_public(file: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module)
            names = {alias.name for alias in node.names}
            assert node.module.partition(".")[0] != "perdure" or not any(n.startswith("_") for n in names)
    assert {name for name in imported if name.partition(".")[0] == "perdure"} <= PUBLIC


def test_the_app_itself_needs_perdure_alone() -> None:
    for name in ("agents.py", "mail.py", "library.py", "models.py", "shapes.py"):
        assert "perdure." not in "\n".join(
            line for line in (DESK / name).read_text().splitlines() if line.startswith(("import ", "from "))
        )
