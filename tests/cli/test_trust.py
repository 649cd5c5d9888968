"""`perdure trust show|propose|sign|narrow|history`: how much an agent does by itself, and who said so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("joserfc", reason='no keys: `pip install "perdure[identity]"`')

from perdure.identity.approver_file import SigningKey

from .conftest import Answer, Cli

PROGRAM = """
from perdure import App, NotCarriedOut, Run

app = App("memory://")

@app.tool(check=lambda result: result == "paid")
def pay(cents: int) -> str:
    return "paid"

@app.agent("desk", ring="observe")
async def desk(run: Run, cents: int) -> str:
    try:
        return await run.call(pay, cents)
    except NotCarriedOut as held:
        return held.ring
"""


@pytest.fixture
def ann(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file of the one key whose signature counts; the project has an agent that begins in `observe`."""
    monkeypatch.setenv("PERDURE_APPROVER_PASSPHRASE", "correct horse")
    program(cli).write_text(PROGRAM)
    key = SigningKey.new("user:ann")
    key.write(cli.folder / "ann.key", "correct horse", hard=4)
    (cli.folder / "perdure.toml").write_text(
        f'[approvals]\nself_approval = true\n[approvals.keys]\nann = "{key.public.key}"\n'
        '[trust]\nsigners = ["ann"]\n[trust.needed]\ndraft = 0.05\n'
    )
    return str(cli.folder / "ann.key")


def program(cli: Cli) -> Path:
    """A file that no other test's program is named like: each is a module of this process."""
    return cli.folder / f"desk_{cli.folder.name}.py"


def perdure(cli: Cli, *arguments: str) -> Answer:
    where = ("--store", cli.store, "--app", f"{program(cli)}:app")
    return cli("--config", str(cli.folder / "perdure.toml"), *where, *arguments, bare=True, columns="200")


def test_a_ring_is_widened_by_a_signature_over_what_the_journals_say(cli: Cli, ann: str) -> None:
    assert perdure(cli, "run", "desk", "--input", "100", "--id", "r").code == 0
    (told,) = perdure(cli, "trust", "show", "--json").json
    assert (told["agent"], told["action"], told["ring"]) == ("desk", "*", "observe")

    refused = perdure(cli, "trust", "propose", "desk", "pay", "draft")
    assert refused.code != 0 and "0 runs with 0 failures" in refused.stderr
    assert perdure(cli, "outcome", "r", "--met", "--by", "ann").code == 0
    told = perdure(cli, "trust", "show", "desk", "pay", "--json").json
    assert (told["evidence"]["runs"], told["evidence"]["rate"]) == (1, 0.05)
    proposed = perdure(
        cli, "trust", "propose", "desk", "pay", "draft", "--reason", "it did well", "--json"
    ).json
    shown = perdure(cli, "trust", "show", "desk", "pay").stdout
    assert "desk, pay: observe → draft" in shown and proposed["digest"] in shown

    sign = ("trust", "sign", "desk", "pay", "--sign-with", ann)
    assert "look again" in perdure(cli, *sign, "--digest", "00000000").stderr
    signed: Any = perdure(cli, *sign, "--digest", proposed["digest"], "--json").json
    assert (signed["ring"], signed["by"], signed["evidence"]["runs"]) == ("draft", "user:ann", 1)
    assert "no wider ring is proposed" in perdure(cli, *sign, "--yes").stderr
    assert perdure(cli, "run", "desk", "--input", "1", "--json").json["result"] == "draft"

    narrowed = perdure(
        cli, "trust", "narrow", "desk", "--to", "observe", "--reason", "an alarm", "--by", "bob"
    )
    assert "desk, *: none → observe" in narrowed.stdout
    assert perdure(cli, "run", "desk", "--input", "1", "--json").json["result"] == "observe"
    told = perdure(cli, "trust", "history", "--json")
    assert [(r["action"], r["ring"], r["by"], r["problem"]) for r in told.json] == [
        ("pay", "draft", "user:ann", None),
        ("*", "observe", "bob", None),
    ]
    assert "signed by user:ann" in perdure(cli, "trust", "history").stdout


def test_what_was_forged_is_told_and_ends_with_1(cli: Cli, ann: str) -> None:
    assert perdure(cli, "trust", "narrow", "desk", "pay", "--by", "bob").code != 0, "looking makes no store"
    assert perdure(cli, "run", "desk", "--input", "100").code == 0
    assert perdure(cli, "trust", "history").code == 0
    assert perdure(cli, "trust", "narrow", "desk", "pay", "--json").json["record"] is None

    import apsw

    apsw.Connection(str(Path(cli.folder) / "test.db")).execute(
        "insert into cells (tenant, kind, name, data) values ('default', 'trust', 'desk/pay', ?)",
        (b'{"seq": 1, "hash": "00"}',),
    )
    apsw.Connection(str(Path(cli.folder) / "test.db")).execute(
        "insert into cells (tenant, kind, name, data) values ('default', 'trust_record', 'desk/pay/000001', ?)",
        (
            b'{"tenant":"default","agent":"desk","action":"pay","seq":1,"prev":"","before":"observe","ring":"none",'
            b'"by":"me","reason":"","at":1,"hash":"00"}',
        ),
    )
    told = perdure(cli, "trust", "history", "--json")
    assert (told.code, told.json[-1]["problem"]) == (1, "record 1 is not what was written")
    assert "NOT AS WRITTEN" in perdure(cli, "trust", "show").stdout
