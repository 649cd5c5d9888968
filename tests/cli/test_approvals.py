"""Calls that wait for an approval, by the commands: what was seen is what is approved."""

from __future__ import annotations

import re

from tests.cli.conftest import Cli


def seen(cli: Cli) -> str:
    return cli("approvals", "show", "r", "--json").json["digest"]


def test_what_was_not_seen_is_not_approved(cli: Cli) -> None:
    cli.begin("refunds", "r", "--input", "5")
    cli.work()
    shown = cli("approvals", "show", "r").stdout
    assert '"amount": 5' in shown
    assert 'tool "refund", effect "write", requester "user:' in shown
    assert '"arguments"' not in shown  # the call, and no JSON around it
    assert "refund(amount=5)" in cli("approvals", "ls").stdout
    blind = cli("approvals", "approve", "r", "--by", "grace")
    assert blind.code == 2
    assert "say what you have seen" in blind.stderr
    other = cli("approvals", "approve", "r", "--by", "grace", "--digest", "0" * 16)
    assert other.code == 5
    assert "what was seen is not what would be done" in other.stderr
    assert cli("approvals", "approve", "r", "--as", "grace", "--digest", seen(cli)[:8]).code == 0
    cli.work()
    assert cli.record("r")["result"] == "refunded 5"


def test_the_commands_that_are_shown_can_be_pasted(cli: Cli) -> None:
    cli.begin("refunds", "r", "--input", "5")
    cli.work()
    shown = cli("approvals", "show", "r").stdout
    line = next(line for line in shown.splitlines() if "approvals approve" in line)
    words = line.split()[1:]
    assert cli(*words[: words.index("--store")], "--by", "grace").code == 0
    cli.work()
    assert cli.record("r")["result"] == "refunded 5"
    assert "approved by grace" in cli("runs", "show", "r").stdout


def test_editing_and_rejecting(cli: Cli) -> None:
    cli.begin("refunds", "r", "--input", "5")
    cli.work()
    wrong = cli("approvals", "edit", "r", "--digest", seen(cli), "--set", "amount=much", "--by", "grace")
    assert wrong.code == 2
    assert "`amount`: must be of type integer" in wrong.stderr
    assert (
        cli("approvals", "edit", "r", "--digest", seen(cli), "--set", "amount=4", "--by", "grace").code == 0
    )
    cli.work()
    assert cli.record("r")["result"] == "refunded 4"
    cli.begin("refunds", "s", "--input", "6")
    cli.work()
    digest = cli("approvals", "show", "s", "--json").json["digest"]
    cli("approvals", "reject", "s", "--digest", digest, "--reason", "too dear", "--by", "grace")
    cli.work()
    assert "grace said no: too dear" in cli.record("s")["result"]


def test_a_childs_approval_is_seen_at_its_parent(cli: Cli) -> None:
    cli.begin("delegates", "p", "--input", "5")
    cli.work()
    (asked,) = cli("approvals", "ls", "--run", "p", "--json").json
    assert asked["run"].startswith("p.")
    assert cli("runs", "show", "p", "--json").json["questions_below"][0]["run"] == asked["run"]
    assert re.search(r"its child p\.\S+ asks", cli("runs", "show", "p").stderr)
    assert "its child" in cli("approvals", "show", "p").stderr


def test_who_started_a_run_does_not_approve_it(cli: Cli) -> None:
    started = cli("run", "refunds", "--input", "5", "--id", "r", "--no-wait", "--by", "grace")
    assert started.code == 0
    cli.work()
    refused = cli("approvals", "approve", "r", "--digest", seen(cli), "--by", "grace")
    assert refused.code == 5
    assert "has started the run" in refused.stderr
    assert cli("approvals", "ls", "--as", "grace", "--json").json == []
    assert len(cli("approvals", "ls", "--as", "ada", "--json").json) == 1


def test_a_typed_answer_is_checked_at_once(cli: Cli) -> None:
    cli.begin("asks-how-much", "r")
    cli.work()
    wrong = cli("approvals", "answer", "r", '{"count": 2}', "--by", "grace")
    assert wrong.code == 2
    assert "`item` is missing" in wrong.stderr
    assert cli("approvals", "answer", "r", '{"item": "tea", "count": 2}', "--by", "grace").code == 0
    cli.work()
    assert cli.record("r")["result"] == "tea 2"
