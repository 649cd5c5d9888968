"""Answers that are signed at a terminal: keys, and `approvals approve` with one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli

WORDS = "correct horse battery staple"


@pytest.fixture(autouse=True)
def passphrase(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERDURE_APPROVER_PASSPHRASE", WORDS)
    monkeypatch.setenv("PERDURE_APPROVER_KEY", str(tmp_path / "own" / "approver.key"))


def keygen(cli: Cli, user: str, *options: str) -> dict[str, Any]:
    answer = cli("approvers", "keygen", "--user", user, "--json", *options)
    assert answer.code == 0, answer
    return answer.json


def register(cli: Cli, **keys: list[Any]) -> None:
    lines = "".join(f'"user:{user}" = {json.dumps(found)}\n' for user, found in keys.items())
    (cli.folder / "perdure.toml").write_text(f"[approvals.keys]\n{lines}")


def seen(cli: Cli) -> str:
    return cli("approvals", "show", "r", "--json").json["digest"]


def test_an_approval_by_real_processes_is_signed(cli: Cli) -> None:
    made = cli("approvers", "keygen", "--user", "user:grace", "--out", "grace.key")
    assert made.code == 0, made
    assert Path("grace.key").stat().st_mode & 0o077 == 0
    (cli.folder / "perdure.toml").write_text(made.stdout)  # the lines can be pasted
    forger = keygen(cli, "user:grace", "--out", "forger.key")
    assert WORDS not in made.stdout + made.stderr + Path("grace.key").read_text()

    cli.begin("refunds", "r", "--input", "5")
    cli.work()
    digest = seen(cli)
    approve = ["approvals", "approve", "r", "--digest", digest[:16]]
    bare = cli(*approve, "--by", "grace")
    assert bare.code == 2
    assert "counts only with your signature" in bare.stderr
    forged = cli.finish(cli.start(*approve, "--sign-with", "forger.key"))
    assert forged.code == 5
    assert f"no approver has the key `{forger['kid']}`" in forged.stderr
    done = cli.finish(cli.start(*approve, "--sign-with", "grace.key", "--json"))
    assert done.json == {
        "run": "r",
        "step": "refund",
        "approved": True,
        "by": "user:grace",
        "digest": digest,
        "signed": True,
    }
    cli.work()
    assert cli.record("r")["result"] == "refunded 5"


@pytest.mark.soak
def test_the_key_in_the_usual_place_is_taken_where_one_is_needed(cli: Cli) -> None:
    grace = keygen(cli, "user:grace")
    assert Path(grace["file"]) == cli.folder / "own" / "approver.key"
    register(cli, grace=[grace["key"]])
    for run, what in (("r", ["edit", "r", "--set", "amount=4"]), ("s", ["reject", "s", "--reason", "no"])):
        cli.begin("refunds", run, "--input", "5")
        cli.work()
        digest = cli("approvals", "show", run, "--json").json["digest"]
        other = cli("approvals", *what, "--digest", digest, "--by", "ada")
        assert other.code == 2
        assert "is the key of `user:grace`: `ada` signs with one of their own" in other.stderr
        answer = cli("approvals", *what, "--digest", digest)
        assert "by user:grace, and signed" in answer.stdout, answer
        cli.work()
    assert cli.record("r")["result"] == "refunded 4"
    assert "user:grace said no: no" in cli.record("s")["result"]
    cli.begin("asks-then-works", "q")
    cli.work()
    assert cli("approvals", "approve", "q", "--by", "ada").code == 0  # a question, and no call


def test_nobody_signs_without_the_passphrase(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    grace = keygen(cli, "user:grace")
    register(cli, grace=[grace["key"]])
    cli.begin("refunds", "r", "--input", "5")
    cli.work()
    approve = ["approvals", "approve", "r", "--digest", seen(cli)]
    monkeypatch.setenv("PERDURE_APPROVER_PASSPHRASE", "another")
    assert "the passphrase is another" in cli(*approve).stderr
    monkeypatch.delenv("PERDURE_APPROVER_PASSPHRASE")
    assert "nobody can be asked for the passphrase" in cli(*approve).stderr
    Path(grace["file"]).chmod(0o644)
    assert "can be read by others" in cli(*approve).stderr
    Path(grace["file"]).unlink()
    assert "counts only with your signature" in cli(*approve, "--by", "grace").stderr
    assert cli("approvals", "ls", "--json").json != []


def test_a_file_that_was_changed_is_no_key(cli: Cli) -> None:
    grace = keygen(cli, "user:grace")
    path = Path(grace["file"])
    told = json.loads(path.read_text())
    register(cli, grace=[grace["key"]])
    cli.begin("refunds", "r", "--input", "5")
    cli.work()
    for change, said in (
        ({"user": "user:ada"}, "does not open"),  # whose it is, is sealed with it
        ({"scrypt_log2_n": 60}, "is no key of an approver"),
        ({"format": 2}, "is no key of an approver"),
    ):
        path.write_text(json.dumps(told | change))
        assert said in cli("approvals", "approve", "r", "--digest", seen(cli)).stderr


def test_a_key_is_made_once_and_for_people_only(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    keygen(cli, "user:grace", "--es256")
    assert "already" in cli("approvers", "keygen", "--user", "user:grace").stderr
    refused = cli("approvers", "keygen", "--user", "agent:desk", "--out", "x.key")
    assert "agents approve nothing" in refused.stderr
    monkeypatch.setenv("PERDURE_APPROVER_PASSPHRASE", "short")
    assert "too short" in cli("approvers", "keygen", "--user", "a", "--out", "x.key").stderr
    assert not Path("x.key").exists()


@pytest.mark.soak
def test_keys_are_listed_shown_and_revoked(cli: Cli) -> None:
    old, new = keygen(cli, "user:grace", "--out", "a.key"), keygen(cli, "user:grace", "--out", "b.key")
    register(cli, grace=[old["key"], new["key"]])
    listed = cli("approvers", "ls", "--json").json
    assert [(one["user"], one["kid"], one["revoked_at"]) for one in listed] == [
        ("user:grace", old["kid"], None),
        ("user:grace", new["kid"], None),
    ]
    cli.begin("refunds", "r", "--input", "5")
    cli.work()
    assert cli("approvers", "revoke", "nothing").code == 4
    revoked = cli("approvers", "revoke", old["kid"][:8], "--by", "ops", "--reason", "a lost laptop", "--json")
    assert revoked.json["kid"] == old["kid"]
    shown = cli("approvers", "show", "Grace").stdout
    assert f"{old['kid']}  revoked" in shown
    assert "by ops: a lost laptop" in shown
    approve = ["approvals", "approve", "r", "--digest", seen(cli)]
    refused = cli(*approve, "--sign-with", "a.key")
    assert refused.code == 5
    assert "was revoked at" in refused.stderr
    assert "counts only with its author's signature" in cli("approvals", "show", "r").stdout
    assert cli(*approve, "--sign-with", "b.key").code == 0
    cli.work()
    assert cli.record("r")["result"] == "refunded 5"
    assert f"approved by user:grace, signed by key {new['kid'][:8]}" in cli("runs", "show", "r").stdout


@pytest.mark.soak
def test_what_is_said_of_a_write_in_doubt_is_signed_too(cli: Cli) -> None:
    grace = keygen(cli, "user:grace", "--out", "grace.key")
    register(cli, grace=[grace["key"]])
    cli.begin("doubts", "r")
    cli.work()
    settle = ["runs", "settle", "r", "send", "--happened", '"sent"']
    bare = cli(*settle, "--by", "grace")
    assert bare.code == 2
    assert "counts only with your signature" in bare.stderr
    assert cli(*settle, "--sign-with", "grace.key").code == 0
    cli.work()
    assert cli.record("r")["result"] == "sent"


def test_an_auditor_checks_signatures_without_the_store(cli: Cli) -> None:
    grace = keygen(cli, "user:grace", "--out", "grace.key")
    register(cli, grace=[grace["key"]])
    cli.begin("refunds", "r", "--input", "5")
    cli.work()
    approve = ["approvals", "approve", "r", "--digest", seen(cli), "--sign-with", "grace.key"]
    assert cli(*approve).code == 0
    cli.work()
    assert "good    refund: user:grace said approve to refund" in cli("approvals", "verify", "r").stdout
    cli("runs", "export", "r", "--out", "r.jsonl")
    (cli.folder / "test.db").unlink()
    (found,) = cli("approvals", "verify", "r.jsonl", "--json").json["answers"]
    assert (found["by"], found["signature"], found["key"]) == ("user:grace", "good", grace["kid"])
    lines = Path("r.jsonl").read_text()
    Path("cut.jsonl").write_text(lines.replace("grace", "ada"))
    assert cli("approvals", "verify", "cut.jsonl").code == 3
    revoked = {"key": grace["key"], "revoked_at": "2020-01-01T00:00:00Z"}
    toml = json.dumps(revoked).replace('": ', '" = ')
    (cli.folder / "perdure.toml").write_text(f'[approvals.keys]\n"user:grace" = [{toml}]\n')
    late = cli("approvals", "verify", "r.jsonl")
    assert late.code == 1
    assert "the key had been revoked before" in late.stdout


def test_doctor_names_who_could_not_answer(cli: Cli) -> None:
    cli.begin("refunds", "r", "--input", "5")
    grace = keygen(cli, "user:grace")
    lines = f'[approvals.keys]\n"user:grace" = ["{grace["key"]}"]\n'
    (cli.folder / "perdure.toml").write_text(lines)
    assert "answers are signed, by 1 people" in cli("doctor").stdout
    (cli.folder / "perdure.toml").write_text(f'[approvals.groups]\ndesk = ["Grace", "ada"]\n{lines}')
    assert "no key is good of `ada`" in cli("doctor").stdout
