"""`perdure audit who-did` and `log`: who did it, for whom, who let it, what they saw, and whether it worked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli


def refund(cli: Cli, run: str, amount: int, *, by: str = "grace", approve: bool = True) -> None:
    cli.begin("refunds", run, "--input", str(amount))
    cli.work()
    digest = cli("approvals", "show", run, "--json").json["digest"]
    said = ["approve"] if approve else ["reject", "--reason", "too dear"]
    done = cli("approvals", *said, run, "--by", by, "--digest", digest)
    assert done.code == 0, done
    cli.work()


def test_who_did_it_is_said_with_who_let_it_and_what_they_saw(cli: Cli) -> None:
    refund(cli, "r1", 5)
    refund(cli, "r2", 6, by="heidi", approve=False)
    answer = cli("audit", "who-did", "refund")
    assert answer.code == 0, answer
    said = answer.stdout
    assert "refund(amount=5)  ok" in said
    assert "by        agent:refunds version 1, in run r1, step refund" in said
    assert "approved  approved by grace" in said
    assert "which is its digest" in said
    assert "refund(amount=6)  denied" in said
    calls = cli("audit", "who-did", "ref*", "--json").json["calls"]
    assert [(c["run"], c["outcome"], c["approved_by"]) for c in calls] == [
        ("r2", "denied", []),
        ("r1", "ok", ["grace"]),
    ]
    assert calls[1]["questions"][0]["shown"]["arguments"] == {"amount": 5}
    assert calls[1]["on_behalf_of"].startswith("user:")


NARROWED: list[tuple[list[str], list[str]]] = [
    (["--argument", "amount=5"], ["r1"]),
    (["--argument", "amount=7"], []),
    (["--argument", "amount=true"], []),
    (["--argument", "to=5"], []),
    (["--person", "GRACE"], ["r1"]),
    (["--person", "user:heidi"], ["r2"]),
    (["--person", "nobody"], []),
    (["--agent", "refunds"], ["r2", "r1"]),
    (["--agent", "order"], []),
    (["--since", "1h"], ["r2", "r1"]),
    (["--until", "1h"], []),
    (["--limit", "1"], ["r2"]),
    (["--before", "r2"], ["r1"]),
    (["--tenant", "other"], []),
]


@pytest.mark.soak
def test_what_is_asked_for_is_narrowed(cli: Cli) -> None:
    refund(cli, "r1", 5)
    refund(cli, "r2", 6, by="heidi")
    for filters, runs in NARROWED:
        found = cli("audit", "who-did", "refund", *filters, "--json").json
        assert [call["run"] for call in found["calls"]] == runs, filters
        assert found["next"] == ("r2" if filters == ["--limit", "1"] else None)


def test_reads_are_listed_where_they_are_asked_for(cli: Cli) -> None:
    cli.begin("order", "o", "--input", '{"item":"tea"}')
    cli.work()
    assert cli("audit", "who-did", "price", "--json").json["calls"] == []
    assert "--reads" in cli("audit", "who-did", "price").stderr
    (call,) = cli("audit", "who-did", "price", "--reads", "--json").json["calls"]
    assert (call["tool"], call["effect"], call["outcome"], call["result"]) == ("price", "read", "ok", 3)


def test_text_that_lies_to_the_eye_is_shown_escaped_and_flagged(cli: Cli, tmp_path: Path) -> None:
    app = tmp_path / "payees.py"
    app.write_text(
        "from perdure import App, Run\n"
        "app = App('memory://')\n"
        "@app.tool(effect='write', needs_approval=True)\n"
        "def pay(to: str) -> str:\n    return to\n"
        "@app.agent('pays')\n"
        "async def pays(run: Run) -> str:\n    return await run.call(pay, 'p\\u0430ypal \\u202egnp.exe')\n"
    )
    options = ["--store", cli.store, "--app", f"{app}:app"]
    assert cli(*options, "run", "pays", "--no-wait", "--id", "p", bare=True).code == 0
    assert cli(*options, "worker", "--once", bare=True).code == 0
    said = cli("audit", "who-did", "pay").stdout
    assert "\u202e" not in said and "\\u202egnp.exe" in said
    assert "beware    hidden characters, shown escaped" in said
    assert "mixes Cyrillic and Latin letters" in said


def test_the_log_lists_facts_of_all_runs_in_the_order_of_time(cli: Cli) -> None:
    refund(cli, "r1", 5)
    refund(cli, "r2", 6)
    facts = cli("audit", "log", "--json").lines
    assert [f["at"] for f in facts] == sorted(f["at"] for f in facts)
    assert {f["run"] for f in facts} == {"r1", "r2"}
    approved = cli("audit", "log", "--what", "approval.approved", "--json").lines
    assert [(f["run"], f["by"], f["tool"]) for f in approved] == [
        ("r1", "grace", "refund"),
        ("r2", "grace", "refund"),
    ]
    (newest,) = cli("audit", "log", "--limit", "1", "--json").lines
    assert (newest["run"], newest["what"], newest["outcome"]) == ("r2", "run.ended", "succeeded")
    assert "r1  approval.approved  refund  approved  by grace" in cli("audit", "log").stdout
    assert cli("audit", "log", "--run", "r1", "--json").lines[-1]["run"] == "r1"
    assert cli("audit", "log", "--until", "1h").stderr.startswith("nothing of that kind")


def test_what_cannot_be_understood_is_said(cli: Cli) -> None:
    cli.begin("order", "o", "--input", '{"item":"tea"}')
    wrong = cli("audit", "who-did", "pay", "--argument", "amount")
    assert wrong.code == 2
    assert "argument `amount` is not of the form `name=value`" in wrong.stderr
    assert "--from `soon` is not a duration" in cli("audit", "log", "--since", "soon").stderr
    assert cli("audit", "who-did", "pay", "--before", "nowhere").code == 4
