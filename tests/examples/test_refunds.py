"""The refund desk's demo, run once as a user runs it; each test reads one of its stories."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="the desk talks to its model through the extra `models`")

DEMO = Path(__file__).resolve().parents[2] / "examples" / "refunds" / "demo.py"


def demo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """In a process group of its own, so that nothing of it outlives a test that fails."""
    process = subprocess.Popen(
        [sys.executable, str(DEMO), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=150)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    ended = demo("--json", "--keep", tmp_path_factory.mktemp("desk") / "kept")
    assert ended.stdout, ended.stderr
    return {**json.loads(ended.stdout), "code": ended.returncode}


@pytest.fixture(scope="module")
def stories(played: dict[str, Any]) -> dict[str, Any]:
    return played["stories"]


def having(story: dict[str, Any], *words: str) -> list[str]:
    """Lines of a story's journal that have all these words."""
    return [line for line in story["journal"] if all(word in line for word in words)]


def test_every_promise_holds(played: dict[str, Any]) -> None:
    assert [what for what, holds in played["checks"].items() if not holds] == []
    assert (played["ok"], played["code"]) == (True, 0)
    assert len(played["checks"]) == len(played["stories"]) == 8


def test_below_the_limit_nobody_is_asked(stories: dict[str, Any]) -> None:
    small = stories["small"]
    assert (small["status"], small["booked"]) == ("succeeded", [30_00])
    assert having(small, "VERDICT", "refund", "waived")
    assert not having(small, "WAITING")
    assert small["mails"] == ["We have paid $30.00 back to you for order A-101."]
    assert small["facts"] == {"met": True}, "the outcome that was attached afterwards"


def test_above_the_limit_the_call_is_made_as_it_was_approved(stories: dict[str, Any]) -> None:
    large = stories["large"]
    assert large["facts"]["asked"] == {"order": "A-102", "cents": 80_00}
    assert having(large, "WAITING", "refund", "for approval")
    assert having(large, "VERDICT", "refund", "approved")
    assert large["booked"] == [60_00]
    assert large["mails"] == ["We have paid $60.00 back to you for order A-102."]


def test_a_change_of_billing_is_refused_and_the_model_is_told_why(stories: dict[str, Any]) -> None:
    billing = stories["billing"]
    assert having(billing, "told:", "`change_billing` failed", "outside of this desk's task")
    assert billing["booked"] == []
    assert "account settings" in billing["mails"][0]


def test_an_order_that_was_looked_up_comes_from_the_cache(stories: dict[str, Any]) -> None:
    assert having(stories["billing"], "find_order", "cache: hit")
    assert stories["billing"]["facts"] == {"looked_up": 0}


def test_faults_of_the_model_are_in_the_journal_and_not_in_the_result(stories: dict[str, Any]) -> None:
    storm = stories["storm"]
    assert having(storm, "ATTEMPT case/turn ", "overloaded", "429")
    assert having(storm, "told: `find_order` was not called", "valid string")
    assert having(storm, "ATTEMPT case/turn:3", "transient", "JSON")
    assert having(storm, "FAILED case/turn:3", "context")  # the larger model goes on from there
    assert (storm["status"], storm["booked"]) == ("succeeded", [45_00])
    assert storm["mails"] == ["We have paid $45.00 back to you for order A-104."]


def test_a_reply_that_names_another_amount_is_put_right(stories: dict[str, Any]) -> None:
    wrong = stories["wrong"]
    assert wrong["booked"] == [35_00]
    assert "$99.00" in wrong["mails"][0]
    assert "$35.00" in wrong["mails"][1]
    assert len(wrong["mails"]) == 2
    assert [name for name, story in stories.items() if story["repaired"]] == ["wrong"]


def test_a_run_waits_for_its_budget_and_goes_on(stories: dict[str, Any]) -> None:
    dear = stories["dear"]
    assert having(dear, "VERDICT", "budget: wait")
    assert dear["facts"] == {"payments_before": 0}
    assert (dear["status"], dear["booked"]) == ("succeeded", [25_00])


def test_the_day_s_budget_has_what_all_cases_cost(stories: dict[str, Any], played: dict[str, Any]) -> None:
    day = played["day"]
    assert (day["budget"], day["limits"]) == ("agent/refund-desk", {"money": 5 * 10**9})
    assert (
        day["spent"]["money"] == round(sum(float(story["spent"]) for story in stories.values()) * 10**9) > 0
    )


def test_what_the_desk_cannot_solve_reaches_somebody_who_takes_it(stories: dict[str, Any]) -> None:
    unknown = stories["unknown"]
    assert unknown["status"] == "escalated"
    assert unknown["booked"] == unknown["mails"] == []
    assert unknown["facts"]["to"] == "shift"
    assert unknown["facts"]["turned_away"] == 0, "the signature holds"
    assert unknown["facts"]["open"] == [1, 0], "before and after Ben has taken it"
    assert "does not exist" in unknown["facts"]["notice"]


def test_killed_in_the_payment_it_is_paid_once(stories: dict[str, Any]) -> None:
    killed = stories["killed"]
    assert having(killed, "UNKNOWN", "refund")
    assert having(killed, "SETTLED", "refund", "happened: True, says verify")
    assert (killed["status"], killed["booked"]) == ("succeeded", [20_00])
    assert killed["facts"] == {"asked_to_pay": 1}
    assert len(killed["mails"]) == 1


def test_nothing_was_paid_twice(stories: dict[str, Any]) -> None:
    paid = {name: len(story["booked"]) for name, story in stories.items()}
    assert paid == {**dict.fromkeys(stories, 1), "billing": 0, "unknown": 0}


def test_a_folder_that_it_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    ended = demo("--json", "--keep", tmp_path)
    assert (ended.returncode, "--keep" in ended.stderr) == (2, True)
    assert (tmp_path / "thesis.txt").exists()
