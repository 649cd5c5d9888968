"""For whom a command starts a run: the machine's user, a name that is only said, or the user of a token."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.cli.runs.acting import os_user
from tests.cli.conftest import Cli
from tests.identity.provider import AUDIENCE, Provider

pytest.importorskip("joserfc", reason='no joserfc: `pip install "perdure[identity]"`')

PROGRAM = """
import os
from perdure import App, Refused, Run

app = App("memory://")

@app.tool(effect="write", requires="payments:write")
async def pay(amount: int) -> str:
    return f"paid {amount}, PERDURE_TOKEN={os.environ.get('PERDURE_TOKEN')}"

@app.agent("clerk")
async def clerk(run: Run, amount: int) -> str:
    try:
        return await run.call(pay, amount)
    except Refused as refused:
        return str(refused)
"""


@pytest.fixture
def idp() -> Iterator[Provider]:
    with Provider() as made:
        yield made


@pytest.fixture
def desk(cli: Cli, idp: Provider) -> Cli:
    sys.modules.pop("clerks", None)
    Path("clerks.py").write_text(PROGRAM)
    Path("perdure.toml").write_text(
        f'store = "{cli.store}"\napp = "clerks.py:app"\n'
        f'[identity.issuers.corp]\nurl = "{idp.url}"\naudience = "{AUDIENCE}"\n'
    )
    return cli


def run(desk: Cli, id: str, *options: str, input: str | None = None) -> str:
    answer = desk("run", "clerk", "--input", "5", "--id", id, *options, "--json", bare=True, input=input)
    assert answer.code == 0, answer
    return answer.json["result"]


def record(desk: Cli, id: str) -> dict[str, object]:
    return desk("runs", "show", id, "--json", bare=True).json


def test_a_tokens_user_is_whom_the_run_acts_for_and_the_token_is_written_nowhere(
    desk: Cli, idp: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = idp.token(scope="payments:write")
    Path("token.jwt").write_text(token + "\n")

    assert run(desk, "file", "--token-file", "token.jwt") == "paid 5, PERDURE_TOKEN=None"
    assert run(desk, "stdin", "--token-file", "-", input=token) == "paid 5, PERDURE_TOKEN=None"
    monkeypatch.setenv("PERDURE_TOKEN", token)
    assert run(desk, "environment") == "paid 5, PERDURE_TOKEN=None"

    told = record(desk, "file")
    assert told["principal"] == "user:ann"
    assert isinstance(told["on_behalf_of"], dict)
    assert told["on_behalf_of"]["issuer"] == idp.url
    assert told["on_behalf_of"]["grants"] == ["payments:write"]
    listed = desk("runs", "ls", "--principal", "user:ann", "--json", bare=True).json
    assert [r["run"] for r in listed] == ["environment", "stdin", "file"]
    assert f"user:ann, vouched for by {idp.url}, may payments:write" in " ".join(
        desk("runs", "show", "file", bare=True, columns="200").stdout.split()
    )
    written = b"".join(path.read_bytes() for path in Path.cwd().glob("test.db*"))
    for part in token.split("."):
        assert part.encode() not in written
    assert b"j-17" not in written


def test_without_a_token_it_is_the_user_whose_process_it_is(
    desk: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = f"user:{pwd.getpwuid(os.getuid()).pw_name}"
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert f"`{me}`, for whom this run acts, has not been granted `payments:write`" in run(desk, "mine")
    told = record(desk, "mine")
    assert (told["principal"], told["on_behalf_of"]) == (me, {"subject": me, "issuer": "os", "grants": []})

    with Path("perdure.toml").open("a") as file:
        file.write('[identity]\nos_grants = ["payments:write"]\n')
    assert run(desk, "granted") == "paid 5, PERDURE_TOKEN=None"
    assert "nobody vouched for `user:eve`" in run(desk, "said", "--by", "eve")
    assert record(desk, "said")["on_behalf_of"] is None
    assert "user:eve, as whoever started it says" in " ".join(
        desk("runs", "show", "said", bare=True).stdout.split()
    )
    assert desk("identity", "init", bare=True).code == 0  # whose data it is, it is sealed for
    assert run(desk, "about", "--subject", "customer:7")
    assert record(desk, "about")["subject"] == "customer:7"


def test_a_user_whom_the_machine_does_not_know_is_only_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a number for a user."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setenv("LOGNAME", "app")
    found = os_user(frozenset(["payments:write"]))
    assert (found.subject, found.verified, found.grants) == ("user:app", False, frozenset())


def test_what_is_no_token_starts_nothing(desk: Cli, idp: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    old = idp.token(exp=1, iat=0)
    Path("old.jwt").write_text(old)
    Path("empty.jwt").write_text("\n")

    for options, why in {
        ("--token-file", "old.jwt"): "the token has expired: sign in again",
        ("--token-file", "empty.jwt"): "`--token-file empty.jwt` holds no token",
        ("--token-file", "none.jwt"): "`--token-file none.jwt` cannot be read",
        ("--token-file", "old.jwt", "--by", "eve"): "leave one out",
    }.items():
        said = desk("run", "clerk", "--input", "5", *options, bare=True)
        assert said.code == 2, said
        assert why in " ".join(said.stderr.split())
        assert old.split(".")[1] not in said.stderr
    monkeypatch.setenv("PERDURE_TOKEN", old)
    by = desk("run", "clerk", "--input", "5", "--by", "eve", bare=True)
    assert "leave one out (PERDURE_TOKEN is set)" in " ".join(by.stderr.split())
    assert not Path("test.db").exists() or desk("runs", "ls", "--json", bare=True).json == []
