"""Stores that cannot be used, and what `db` and `doctor` say of them."""

from pathlib import Path

import apsw
import pytest

from perdure.db.sqlite.connection import newest_version

from .conftest import Cli

LOOKING = [
    ["runs", "ls"],
    ["runs", "show", "r"],
    ["approvals", "ls"],
    ["runs", "resume", "r"],
    ["db", "check"],
]


def ids(command: list[str]) -> str:
    return " ".join(command)


@pytest.mark.parametrize("command", LOOKING, ids=ids)
def test_looking_does_not_make_a_store(command: list[str], cli: Cli) -> None:
    said = cli(*command)
    assert said.code == 3, said
    assert "there is no store" in said.stderr
    assert not Path("test.db").exists()


@pytest.mark.parametrize("command", [*LOOKING, ["worker", "--once"], ["run", "asks", "--no-wait"]], ids=ids)
def test_a_file_that_is_no_database(command: list[str], cli: Cli) -> None:
    Path("test.db").write_bytes(b"this is not a database, and never was " * 200)
    said = cli(*command)
    assert said.code == 3, said
    assert "is not a readable SQLite database" in said.stderr
    assert cli(*command, "--json").json["error"]["type"] == "StoreCorrupt"
    assert Path("test.db").read_bytes().startswith(b"this is not a database")


@pytest.mark.parametrize("command", [*LOOKING, ["worker", "--once"], ["db", "migrate"]], ids=ids)
def test_a_store_of_a_newer_version(command: list[str], cli: Cli) -> None:
    cli.begin("asks", "r")
    apsw.Connection("test.db").execute("pragma user_version = 999")
    said = cli(*command)
    assert said.code == 3, said
    assert "has schema version 999" in said.stderr
    assert cli(*command, "--json").json["error"]["type"] == "StoreTooNew"


def test_a_database_of_another_program(cli: Cli) -> None:
    apsw.Connection("test.db").execute("create table theirs (x)")
    said = cli("worker", "--once")
    assert said.code == 3
    assert "is a database of another program" in said.stderr


def test_a_missing_folder_and_an_unusable_url(cli: Cli) -> None:
    said = cli("--store", f"sqlite:///{cli.folder}/no/such.db", "run", "asks", "--no-wait")
    assert said.code == 2
    assert "make its folder first" in said.stderr
    said = cli("--store", "mysql://x", "runs", "ls")
    assert said.code == 2
    assert "store `mysql://x` is not one that can be used" in said.stderr
    said = cli("--store", "memory://", "runs", "ls")
    assert said.code == 2
    assert "lives and dies with its process" in said.stderr
    said = cli("--store", "memory://", "run", "asks", "--no-wait")
    assert said.code == 2
    assert "ends with this process" in said.stderr
    # but a run that ends here may well live in memory
    assert cli("--store", "memory://", "run", "order", "--input", '{"item": "tea"}').code == 0


def test_check_names_the_run_and_the_entry_that_were_changed(cli: Cli) -> None:
    for run in ("good", "bad"):
        cli.begin("order", run, "--input", '{"item": "tea"}')
    cli.work()
    sound = cli("db", "check")
    assert sound.code == 0
    assert "2 runs with 12 entries verified" in sound.stdout
    apsw.Connection("test.db").execute(
        "update entries set payload = '4' where key = 'price' and rid = (select rid from runs where id = 'bad')"
    )
    said = cli("db", "check")
    assert said.code == 3, said
    assert "run `bad`: entry 3 (`price`) is not what was written" in said.stderr
    assert "good" not in said.stderr
    told = cli("db", "check", "--json")
    assert (told.code, [f["run"] for f in told.json["faults"]]) == (3, ["bad"])
    assert cli("db", "check", "--quick").code == 0
    assert cli("runs", "verify", "bad").code == cli("runs", "show", "bad").code == 3
    assert cli("runs", "show", "good").code == 0
    assert cli("doctor").code == 1


def test_check_notices_a_journal_that_was_cut(cli: Cli) -> None:
    cli.begin("order", "r", "--input", '{"item": "tea"}')
    cli.work()
    apsw.Connection("test.db").execute("delete from entries where seq = 6")
    said = cli("db", "check")
    assert said.code == 3
    assert "its journal ends at entry 5 and should end at entry 6" in said.stderr


def test_check_notices_a_damaged_page(cli: Cli) -> None:
    for n in range(40):
        cli.begin("order", f"r{n}", "--input", '{"item": "tea"}')
    connection = apsw.Connection("test.db")
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    data = bytearray(Path("test.db").read_bytes())
    half = len(data) // 2 // 8192 * 8192
    data[half : half + 8192] = b"\xff" * 8192
    Path("test.db").write_bytes(data)
    said = cli("db", "check")
    assert said.code == 3, said
    assert "is damaged" in said.stderr or "is not a readable SQLite database" in said.stderr
    assert cli("doctor").code == 1


def test_migrate_says_what_it_did(cli: Cli) -> None:
    cli.begin("asks", "r")
    told = cli("db", "migrate", "--json").json
    assert (told["version"], told["steps"]) == (newest_version(), [])


def test_doctor_says_what_to_do(cli: Cli) -> None:
    well = cli("doctor", "--json")
    assert (well.code, well.json["ok"]) == (0, True)
    states = {c["check"]: c["state"] for c in well.json["checks"]}
    assert states["app"] == "warn"  # `send` does not declare its effect
    assert {states[c] for c in ("python", "sqlite", "settings", "store", "clock")} == {"ok"}
    Path("perdure.toml").write_text('stoer = "x"')
    ill = cli("doctor")
    assert ill.code == 1
    assert "fail settings" in ill.stdout
    assert "stoer" in ill.stdout
    Path("perdure.toml").unlink()
    Path("broken.py").write_text("import nonsense_that_is_not_there")
    ill = cli("doctor", "--app", "broken.py:app")
    assert ill.code == 1
    assert "No module named 'nonsense_that_is_not_there'" in ill.stdout
    assert "broken.py:1)" in ill.stdout
