"""The command line as a whole: help, JSON everywhere, exit codes, bad input, completion."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
import typer.main

from perdure import __version__
from perdure.cli.commands import MODULES, hang, typed
from perdure.cli.outcome import CODES, exit_code
from perdure.cli.root import root
from perdure.core import errors

from .conftest import SCENE, Cli
from .test_breakers import broken
from .test_memory import keep
from .test_schedules import declared


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from leaves(below, (*path, name))
    else:
        yield path


hang()
TREE: Any = typer.main.get_command(root)
LEAVES = sorted(leaves(TREE))


def worked(cli: Cli, agent: str) -> None:
    cli.begin(agent, "r")
    cli.work()


def ordered(cli: Cli) -> None:
    cli.begin("order", "r", "--input", '{"item": "tea"}')
    cli.work()


def fake_demo(cli: Cli) -> None:
    place = cli.folder / "examples" / "sales_desk"
    place.mkdir(parents=True)
    (place / "demo.py").write_text("print('sold')")


def paused(cli: Cli) -> None:
    declared(cli)
    assert cli("schedules", "pause", "yearly").code == 0


def handed_over(cli: Cli) -> None:
    (cli.folder / "perdure.toml").write_text('[contacts.owner]\nwebhook = "http://127.0.0.1:1"\n')
    worked(cli, "hands-over")


def held(cli: Cli) -> None:
    cli.begin("asks", "r")
    apsw.Connection("test.db").execute("update runs set status = 'quarantined', reasons = '[]'")


def stopped(cli: Cli) -> None:
    worked(cli, "asks")
    assert cli("stop", "desk").code == 0


def remembered(cli: Cli) -> None:
    keep(cli.store)


def limited(cli: Cli) -> None:
    ordered(cli)
    assert cli("budget", "set", "tenant", "--money", "5").code == 0


def trusted(cli: Cli) -> None:
    (cli.folder / "perdure.toml").write_text('[identity]\ntrust_domain = "agents.example.org"\n')
    assert cli("identity", "init").code == 0
    assert cli("identity", "rotate", "desk@1", "--now").code == 0


def known(cli: Cli) -> None:
    (cli.folder / "perdure.toml").write_text('[providers.mail]\nkind = "api_key"\n')
    (cli.folder / "key").write_text("sk-0123456789")
    assert cli("identity", "init").code == 0


def connected(cli: Cli) -> None:
    known(cli)
    assert cli("connect", "mail", "--user", "ann", "--key-file", "key").code == 0


def audited(cli: Cli) -> None:
    ordered(cli)
    assert cli("audit", "init", "--origin", "example.com/audit").code == 0
    assert cli("audit", "checkpoint").code == 0


# One call of every command that succeeds, and what has to be there before.
CALLS: dict[tuple[str, ...], tuple[list[str], Callable[[Cli], object]]] = {
    ("init",): (["new"], lambda cli: None),
    ("demo",): ([], fake_demo),
    ("run",): (["order", "--input", '{"item": "tea"}'], lambda cli: None),
    ("worker",): (["--once"], lambda cli: cli.begin("asks", "r")),
    ("runs", "ls"): ([], lambda cli: cli.begin("asks", "r")),
    ("runs", "show"): (["r"], lambda cli: cli.begin("asks", "r")),
    ("runs", "tail"): (["r"], lambda cli: cli.begin("asks", "r")),
    ("runs", "resume"): (["r"], lambda cli: cli.begin("asks", "r")),
    ("runs", "cancel"): (["r"], lambda cli: cli.begin("asks", "r")),
    ("runs", "pause"): (["r"], lambda cli: cli.begin("asks", "r")),
    ("runs", "settle"): (["r", "send", "--did-not-happen"], lambda cli: worked(cli, "doubts")),
    ("runs", "export"): (["r", "--out", "r.jsonl"], lambda cli: worked(cli, "asks")),
    ("runs", "verify"): (["r"], lambda cli: worked(cli, "asks")),
    ("runs", "fork"): (["r", "--from", "price"], ordered),
    ("runs", "retry"): (["r", "--force"], ordered),
    ("runs", "prune"): (["r", "--yes"], ordered),
    ("signal",): (["r", "reply", '"yes"'], lambda cli: cli.begin("receives", "r")),
    ("approvals", "ls"): ([], lambda cli: worked(cli, "asks")),
    ("approvals", "show"): (["r"], lambda cli: worked(cli, "asks")),
    ("approvals", "approve"): (["r", "--value", "now"], lambda cli: worked(cli, "asks")),
    ("approvals", "deny"): (["r", "--reason", "no"], lambda cli: worked(cli, "asks")),
    ("approvals", "reject"): (["r", "--reason", "no"], lambda cli: worked(cli, "asks")),
    ("approvals", "verify"): (["r"], lambda cli: worked(cli, "asks")),
    ("approvals", "answer"): (["r", "now"], lambda cli: worked(cli, "asks")),
    ("approvers", "ls"): ([], lambda cli: cli.begin("asks", "r")),
    ("alerts", "ls"): ([], lambda cli: cli.begin("asks", "r")),
    ("watchers", "ls"): ([], lambda cli: cli.begin("asks", "r")),
    ("escalations", "ls"): ([], lambda cli: worked(cli, "hands-over")),
    ("escalations", "ack"): (["r"], lambda cli: worked(cli, "hands-over")),
    ("escalations", "pass"): (["r", "--to", "owner"], handed_over),
    ("outcome",): (["r", "--met"], ordered),
    ("quarantine", "ls"): ([], lambda cli: cli.begin("asks", "r")),
    ("quarantine", "release"): (["r"], held),
    ("schedules", "ls"): ([], declared),
    ("schedules", "show"): (["yearly"], declared),
    ("schedules", "pause"): (["yearly"], declared),
    ("schedules", "resume"): (["yearly"], paused),
    ("schedules", "trigger"): (["yearly"], declared),
    ("schedules", "rm"): (["yearly"], declared),
    ("agents", "ls"): ([], lambda cli: None),
    ("agents", "tools"): ([], lambda cli: None),
    ("answers",): (["order"], ordered),
    ("check",): ([], lambda cli: worked(cli, "asks")),
    ("torture",): (
        ["--agent", "order", "--input", '{"item": "tea"}', "--schedule", "kill before ended"],
        lambda cli: None,
    ),
    ("memory", "sessions", "ls"): ([], remembered),
    ("memory", "sessions", "show"): (["case-17"], remembered),
    ("memory", "knowledge", "ls"): ([], remembered),
    ("memory", "knowledge", "show"): (["person", "Ann"], remembered),
    ("workers", "ls"): ([], lambda cli: cli.begin("asks", "r")),
    ("budget", "ls"): ([], ordered),
    ("budget", "set"): (["tenant", "--money", "5"], ordered),
    ("budget", "raise"): (["tenant", "--money", "5"], limited),
    ("cost",): ([], ordered),
    ("breakers", "ls"): ([], broken),
    ("breakers", "close"): (["model:m"], broken),
    ("stop",): (["desk"], lambda cli: worked(cli, "asks")),
    ("start",): (["desk"], stopped),
    ("stopped",): ([], stopped),
    ("identity", "revoked"): ([], lambda cli: worked(cli, "asks")),
    ("identity", "init"): ([], lambda cli: None),
    ("identity", "ls"): ([], trusted),
    ("identity", "show"): (["desk"], trusted),
    ("identity", "rotate"): (["desk"], trusted),
    ("identity", "publish"): (["site"], trusted),
    ("connect",): (["mail", "--user", "ann", "--key-file", "key"], known),
    ("connections", "ls"): ([], connected),
    ("connections", "show"): (["mail", "--user", "ann"], connected),
    ("connections", "revoke"): (["mail", "--user", "ann"], connected),
    ("vault", "rotate"): (["--new-key"], connected),
    ("vault", "forget"): (["ann", "--yes"], connected),
    ("audit", "who-did"): (["refund"], ordered),
    ("audit", "log"): ([], ordered),
    ("audit", "export"): (["--all", "--out", "bundle"], ordered),
    ("audit", "feed"): ([], ordered),
    ("audit", "init"): ([], lambda cli: None),
    ("audit", "key"): ([], audited),
    ("audit", "status"): ([], audited),
    ("audit", "sequence"): (["--once"], ordered),
    ("audit", "checkpoint"): (["--to", "away"], audited),
    ("audit", "verify"): ([], audited),
    ("audit", "prove"): (["r"], audited),
    ("doctor",): ([], lambda cli: worked(cli, "asks")),
    ("db", "path"): ([], lambda cli: None),
    ("db", "info"): ([], lambda cli: worked(cli, "asks")),
    ("db", "migrate"): ([], lambda cli: cli.begin("asks", "r")),
    ("db", "check"): ([], lambda cli: worked(cli, "asks")),
    ("db", "gc"): ([], ordered),
    ("rebuild",): (["--check"], ordered),
}


MEMORY = ("search", "show", "why", "spread", "undo", "restore", "withdrawn", "forget", "export")
POLICY = (
    *("init", "packs", "check", "ls", "explain", "test", "diff", "backtest", "apply", "shadow", "history"),
    *("plan", "tools"),
)


def test_every_command_is_tried_below() -> None:
    # `dev` goes on until it is stopped: test_dev.py reads its JSON; what needs a server: tests/stores/test_copy.py; an
    # edit needs the digest of what was seen: test_approvals.py; what follows `record` is another's: test_record.py;
    # what is taken over comes from elsewhere: test_import.py; a key is revoked by its id: test_identity.py; those of
    # approvers have passphrases: test_approvers.py; a secret comes from standard input: test_connections.py; policies
    # have a folder: test_policy.py, test_policy_changes.py, test_policy_plan.py
    elsewhere = [
        ("approvals", "edit"),
        ("approvers", "keygen"),
        ("approvers", "show"),
        ("approvers", "revoke"),
        ("alerts", "ack"),  # and its like: test_alerts.py
        ("alerts", "test"),
        ("dev",),
        ("login",),  # test_keys.py
        ("serve",),  # tests/server/test_serve_command.py
        *[("db", name) for name in ("backup", "restore", "restored")],  # test_restore.py
        ("db", "copy"),
        ("db", "unmove"),
        ("record",),
        ("import", "langgraph"),
        *[("policy", name) for name in POLICY],
        *[("mcp", name) for name in ("ls", "diff", "review")],  # test_mcp.py
        ("databases", "check"),  # test_databases.py
        *[("openapi", name) for name in ("ls", "diff", "review")],  # test_openapi.py
        *[("memory", name) for name in MEMORY],  # test_memory_governance.py
        *[("memory", "review", name) for name in ("ls", "accept", "reject")],
        ("mcp", "serve"),  # tests/mcp_server/test_command.py
        *[("trust", name) for name in ("show", "propose", "sign", "narrow", "history")],  # test_trust.py
        ("identity", "revoke"),
        ("identity", "restore"),  # and so is what was revoked: test_revocations.py
        *[("keys", name) for name in ("create", "ls", "revoke")],  # test_keys.py
        *[("sessions", name) for name in ("ls", "revoke")],
        ("audit", "erase"),  # test_erasing.py
        *[("series", name) for name in ("ls", "show")],  # test_series.py
        ("vault", "secret"),
    ]
    assert sorted([*CALLS, *elsewhere]) == LEAVES


@pytest.mark.parametrize("path", sorted(CALLS), ids=" ".join)
def test_every_command_answers_in_json(path: tuple[str, ...], cli: Cli) -> None:
    arguments, given = CALLS[path]
    given(cli)
    answer = cli(*path, *arguments, "--json")
    assert answer.code == 0, answer
    assert answer.lines, "no answer at all"


@pytest.mark.soak  # what it says in JSON is tested above, and what it says to people where it belongs
@pytest.mark.parametrize("path", sorted(CALLS), ids=" ".join)
def test_every_command_speaks_to_people(path: tuple[str, ...], cli: Cli) -> None:
    arguments, given = CALLS[path]
    given(cli)
    answer = cli(*path, *arguments)
    assert answer.code == 0, answer
    assert answer.stdout or answer.stderr or path == ("demo",)  # which writes to the terminal by itself
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_has_help_and_takes_json(path: tuple[str, ...], cli: Cli) -> None:
    answer = cli(*path, "--help", bare=True)
    assert answer.code == 0
    assert "--json" in answer.stdout


def test_global_options_may_stand_before_or_after(cli: Cli) -> None:
    cli.begin("asks", "r")
    before = cli("--store", cli.store, "--json", "runs", "ls", bare=True)
    after = cli("runs", "ls", "--json", "--store", cli.store, bare=True)
    assert before.code == after.code == 0
    assert before.json == after.json
    assert before.json[0]["run"] == "r"


def test_version(cli: Cli) -> None:
    assert cli("--version", bare=True).stdout.strip() == f"perdure {__version__}"
    assert cli("--version", "--json", bare=True).json == {"version": __version__}


def test_a_command_line_that_makes_no_sense(cli: Cli) -> None:
    for arguments in (
        ["nope"],
        ["runs", "show"],
        ["runs", "ls", "--limit", "x"],
        ["worker", "--processes", "0"],
    ):
        said = cli(*arguments, bare=True)
        assert said.code == 2, said
        answered = cli(*arguments, "--json", bare=True)
        assert answered.code == 2
        assert answered.json["error"]["exit"] == 2
        assert answered.json["error"]["message"]


def test_help_needs_nothing_heavy() -> None:
    heavy = ("apsw", "pydantic", "rich.table", "perdure.app", "watchfiles")
    code = (
        "import sys, perdure.cli.root, perdure.cli.commands as c; c.hang(); "
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_the_first_word_says_which_modules_a_command_needs(path: tuple[str, ...]) -> None:
    found = TREE
    for word in path:
        found = found.commands[word]
    assert found.callback.__module__.removeprefix("perdure.cli.") in MODULES[path[0]].split()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["runs", "ls"], "runs"),
        (["--store", "run", "--json", "-v", "worker", "--once"], "worker"),
        (["--store=run", "db", "check"], "db"),
        (["--help"], None),
        (["rnus", "ls"], None),
        ([], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_the_word_of_a_command_stands_behind_the_options_of_all(
    arguments: list[str], word: str | None
) -> None:
    assert typed(arguments) == word


def test_every_error_has_an_exit_code() -> None:
    kinds = [getattr(errors, name) for name in errors.__all__]
    for kind in kinds:
        if issubclass(kind, errors.PerdureError) and kind not in (errors.PerdureError, errors.RunError):
            assert any(issubclass(kind, known) for known, _ in CODES), kind
    assert exit_code(errors.StoreTooNew("")) == 3
    assert exit_code(errors.UnknownRun("")) == 4
    assert exit_code(errors.RunEnded("")) == 5


BAD: list[tuple[str, list[str], int, str]] = [
    ("unknown run", ["runs", "show", "nope"], 4, "no run `nope`"),
    ("unknown run to tail", ["runs", "tail", "-f", "nope"], 4, "no run `nope`"),
    ("unknown run to cancel", ["runs", "cancel", "nope"], 4, "no run `nope`"),
    ("unknown run to signal", ["signal", "nope", "reply"], 4, "no run `nope`"),
    ("unknown run to export", ["runs", "export", "nope"], 4, "no run `nope`"),
    ("unknown run to resume", ["runs", "resume", "nope", "--reset"], 4, "no run `nope`"),
    ("not a run's id", ["runs", "show", "no/such"], 2, "`no/such` cannot be a run id"),
    ("unknown agent", ["run", "nope"], 4, "no agent `nope` is registered (known: asks"),
    ("no input", ["run", "order"], 2, 'needs an input: `--input JSON`; it takes {"item": string'),
    ("input is not JSON", ["run", "order", "--input", "tea"], 2, "the input `tea` is not JSON"),
    ("input of another type", ["run", "order", "--input", "[]"], 2, "cannot take this input"),
    ("input where none is taken", ["run", "asks", "--input", "1"], 2, "takes no input"),
    ("input from no file", ["run", "order", "--input", "@nope"], 2, "cannot be read from `nope`"),
    ("bad duration", ["run", "asks", "--deadline", "soon"], 2, "--deadline `soon` is not a duration"),
    ("no duration", ["run", "asks", "--deadline", "0s"], 2, "must be longer than nothing"),
    ("endless duration", ["run", "asks", "--deadline", "9" * 400 + "d"], 2, "is not a duration"),
    ("bad lease", ["worker", "--lease", "x"], 2, "--lease `x` is not a duration"),
    ("bad label", ["run", "asks", "--label", "k"], 2, "label `k` is not of the form `key=value`"),
    ("bad id", ["run", "asks", "--id", "../x"], 2, "`../x` cannot be a run id"),
    ("bad status", ["runs", "ls", "--status", "done"], 2, "status `done` is not one of pending, running"),
    ("bad tenant", ["runs", "ls", "--tenant", "a/b"], 2, "`a/b` cannot be a tenant"),
    (
        "id is taken",
        ["run", "order", "--input", '{"item": "b"}', "--id", "ended", "--no-wait"],
        5,
        "exists already",
    ),
    ("signal to an ended run", ["signal", "ended", "reply"], 5, "has ended (succeeded)"),
    ("cancel an ended run", ["runs", "cancel", "ended"], 5, "has ended (succeeded)"),
    ("resume an ended run", ["runs", "resume", "ended", "--reset"], 5, "has ended (succeeded)"),
    ("payload is not JSON", ["signal", "asking", "reply", "yes"], 2, "the payload `yes` is not JSON"),
    (
        "settle what is not in doubt",
        ["runs", "settle", "doubtful", "nope", "--did-not-happen"],
        4,
        "in doubt: `send`",
    ),
    ("settle a question", ["runs", "settle", "asking", "ask", "--did-not-happen"], 4, "in doubt: none"),
    ("settle an ended run", ["runs", "settle", "ended", "price", "--did-not-happen"], 5, "has ended"),
    ("settle without a word", ["runs", "settle", "doubtful", "send"], 2, "say one of `--happened RESULT`"),
    (
        "settle both ways",
        ["runs", "settle", "doubtful", "send", "--happened", "1", "--did-not-happen"],
        2,
        "say one of",
    ),
    (
        "settle without JSON",
        ["runs", "settle", "doubtful", "send", "--happened", "x"],
        2,
        "the result `x` is not JSON",
    ),
    ("approve where nothing is asked", ["approvals", "approve", "ended"], 4, "asks nothing now"),
    (
        "approve another step",
        ["approvals", "approve", "asking", "nope"],
        4,
        "no open question at step `nope`",
    ),
    ("approve one of two", ["approvals", "approve", "twice"], 2, "name one of the steps `gather.0/ask`"),
    ("deny without a reason", ["approvals", "deny", "asking"], 2, "say why: `--reason TEXT`"),
    (
        "value is not JSON",
        ["approvals", "approve", "twice", "gather.0/ask", "--value", "x"],
        2,
        "the value `x` is not JSON",
    ),
    (
        "not a choice",
        ["approvals", "approve", "asking", "--value", "x"],
        2,
        "`x` is not one of the choices: now, later",
    ),
    ("nobody answers", ["approvals", "approve", "asking", "--by", " "], 2, "`--by` is empty"),
    ("verify no such thing", ["runs", "verify", "nope"], 4, "no run `nope`"),
    ("verify what is no export", ["runs", "verify", str(SCENE)], 2, "is not an export of a run"),
    ("export to nowhere", ["runs", "export", "ended", "--out", "no/such/file"], 2, "No such file"),
    ("no such config", ["--config", "nope.toml", "runs", "ls"], 2, "there is no file `nope.toml`"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input(arguments: list[str], code: int, message: str, cli: Cli) -> None:
    cli.begin("order", "ended", "--input", '{"item": "a"}')
    for agent, run in (("asks", "asking"), ("asks-twice", "twice"), ("doubts", "doubtful")):
        cli.begin(agent, run)
    cli.work()
    said = cli(*arguments)
    assert (said.code, said.stdout) == (code, ""), said
    assert len(said.stderr.splitlines()) == 1, said
    assert said.stderr.startswith("error: ")
    assert message in said.stderr
    answered = cli(*arguments, "--json")
    assert answered.code == code
    assert answered.json["error"]["exit"] == code
    assert message in answered.json["error"]["message"].replace("\n", " ")


def test_verbose_shows_the_traceback(cli: Cli) -> None:
    cli.begin("asks", "r")
    assert "Traceback" not in cli("runs", "show", "nope").stderr
    assert "Traceback" in cli("-v", "runs", "show", "nope").stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered_for_each_shell(shell: str, cli: Cli) -> None:
    answer = cli("--show-completion", shell, bare=True)
    assert answer.code == 0
    assert "perdure" in answer.stdout or "_COMPLETE" in answer.stdout


def complete(cli: Cli, words: str, **environ: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "perdure.cli"],
        cwd=cli.folder,
        env={
            **os.environ,
            "_PERDURE_COMPLETE": "complete_bash",
            "COMP_WORDS": f"perdure {words}",
            "COMP_CWORD": str(len(words.split())),
            **environ,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_completion_of_runs_agents_and_commands(cli: Cli) -> None:
    cli.begin("asks", "blue-1")
    cli.begin("asks", "red-1")
    store = {"PERDURE_STORE": cli.store, "PERDURE_APP": f"{SCENE}:app"}
    assert complete(cli, "runs show b", **store) == ["blue-1"]
    assert complete(cli, "approvals approve r", **store) == ["red-1"]
    assert complete(cli, f"--store {cli.store} signal b") == ["blue-1"]
    assert complete(cli, "run as", **store) == ["asks", "asks-how-much", "asks-then-works", "asks-twice"]
    assert complete(cli, "runs ls --status su", **store) == ["succeeded"]
    assert "settle" in complete(cli, "runs se")


def test_completion_makes_no_store_and_no_noise(cli: Cli) -> None:
    assert complete(cli, "runs show b", PERDURE_STORE=cli.store) == []
    assert not Path("test.db").exists()
    Path("perdure.toml").write_text("store = 7 = 8")
    assert complete(cli, "runs show b") == []


def test_settings_decide_the_store_and_options_come_first(cli: Cli) -> None:
    Path("mine.toml").write_text(f'store = "sqlite:///mine.db"\napp = "{SCENE}:app"\ntenant = "acme"\n')
    begun = cli("--config", "mine.toml", "run", "asks", "--no-wait", "--id", "r", bare=True)
    assert begun.code == 0, begun
    assert Path("mine.db").exists()
    listed = cli("--config", "mine.toml", "runs", "ls", "--json", bare=True).json
    assert [(r["run"], r["tenant"]) for r in listed] == [("r", "acme")]
    other = cli("--config", "mine.toml", "--tenant", "else", "runs", "ls", "--json", bare=True)
    assert other.json == []
    everyone = cli(
        "--config", "mine.toml", "--tenant", "else", "runs", "ls", "--all-tenants", "--json", bare=True
    )
    assert [r["run"] for r in everyone.json] == ["r"]
    assert cli("--config", "mine.toml", "--store", cli.store, "runs", "ls", bare=True).code == 3


def test_where_nothing_names_a_store_the_program_does(cli: Cli) -> None:
    Path("agents.py").write_text(
        "from perdure import App\napp = App('sqlite:///own.db')\n@app.agent('a')\nasync def a(run): return 1\n"
    )
    said = cli.finish(cli.start("run", "a", "--id", "r", bare=True))
    assert (said.code, said.stdout) == (0, "1\n")
    listed = cli.finish(cli.start("runs", "ls", "--json", bare=True))
    assert json.loads(listed.stdout)[0]["run"] == "r"
    assert Path("own.db").exists()
    assert not Path("perdure.db").exists()
