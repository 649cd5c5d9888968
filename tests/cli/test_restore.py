"""A backup and the way back, as an operator goes it: today's writes are not written again."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..places import PostgresPlace, PostgresServer
from .conftest import Cli

SCENE = Path(__file__).with_name("restore_scene.py")


class Desk(Cli):
    """The CLI with the agent that writes letters."""

    @property
    def options(self) -> list[str]:
        return ["--store", self.store, "--app", f"{SCENE}:app"]

    def letters(self) -> list[str]:
        return Path("letters").read_text("utf-8").splitlines() if Path("letters").exists() else []

    def morning(self) -> None:
        """One run waits after its first letter, one has not begun."""
        self.begin("writer", "ada", "--input", '"ada"')
        self.work()
        self.begin("writer", "bob", "--input", '"bob"')

    def afternoon(self) -> None:
        """Both write all their letters."""
        self.work()
        for run in ("ada", "bob"):
            assert self("approvals", "approve", run, "--by", "eve").code == 0
        self.work()
        assert sorted(self.letters()) == AFTERNOON

    def waits_for(self, run: str) -> list[str]:
        return self.record(run)["reasons"]


AFTERNOON = ["ada: first", "ada: second", "bob: first", "bob: second"]
"""All letters; the two runs go beside each other."""


@pytest.fixture
def desk(cli: Cli) -> Desk:
    return Desk(cli.folder)


def hold_and_let_go(desk: Desk) -> None:
    """What both stores do once the store is what it was in the morning: nothing, until somebody has looked."""
    desk.work()
    assert sorted(desk.letters()) == AFTERNOON
    assert "paused" in desk.waits_for("ada")
    assert "paused" in desk.waits_for("bob")

    # Ada's second letter went out, so her run is over; Bob's wrote nothing that anybody knows of
    assert desk("runs", "cancel", "ada", "--by", "eve").code == 0
    assert desk("runs", "resume", "bob", "--by", "eve").code == 0
    desk.work()
    assert desk.record("ada")["status"] == "cancelled"
    assert sorted(desk.letters()) == sorted([*AFTERNOON, "bob: first"])


def test_a_file_is_restored_and_what_was_in_flight_is_held(desk: Desk) -> None:
    desk.morning()
    said = desk("db", "backup", "copy.db", "--json")
    assert said.code == 0, said
    assert said.json["bytes"] == Path("copy.db").stat().st_size
    desk.afternoon()

    # given that the disk is lost, when the backup takes its place
    refused = desk("db", "restore", "copy.db")
    assert (refused.code, "is there already" in refused.stderr) == (2, True)
    said = desk("db", "restore", "copy.db", "--replace", "--json")
    assert said.code == 0, said
    assert (said.json["runs"], said.json["schedules"]) == (2, 1)
    assert Path(said.json["aside"]).stat().st_size > 0

    hold_and_let_go(desk)
    assert desk("schedules", "show", "hourly", "--json").json["paused"]


def test_a_copy_that_was_put_there_by_hand_is_not_worked_on(desk: Desk) -> None:
    desk.morning()
    assert desk("db", "backup", "copy.db").code == 0
    desk.afternoon()
    desk.store = f"sqlite:///{Path('copy.db').absolute()}"

    said = desk("worker", "--once")
    assert said.code == 3, said
    assert "is a backup of" in said.stderr
    assert "perdure db restored" in said.stderr
    said = desk("doctor", "--json")
    assert "is a backup of" in said.stdout, said
    assert sorted(desk.letters()) == AFTERNOON

    said = desk("db", "restored", "--json")
    assert (said.code, said.json["runs"]) == (0, 2)
    hold_and_let_go(desk)


def test_where_nothing_was_lost_nothing_is_held(desk: Desk) -> None:
    desk.morning()
    assert desk("db", "backup", "copy.db").code == 0
    desk.store = f"sqlite:///{Path('copy.db').absolute()}"
    assert desk("db", "restored", "--nothing-lost").code == 0
    desk.work()
    assert desk.letters() == ["ada: first", "bob: first"]


def test_a_database_that_was_restored_is_noticed(
    desk: Desk, postgres: PostgresServer, postgres_template: str
) -> None:
    place = PostgresPlace(postgres, postgres_template)
    desk.store = place.url(desk.folder)
    desk.morning()
    original = desk.store.partition("?")[0].rpartition("/")[2]
    copy = postgres.new_database(template=original)
    desk.afternoon()

    # given a copy of the morning in another database, as a dump that was restored is
    desk.store = postgres.url(copy)
    said = desk("worker", "--once")
    assert said.code == 3, said
    assert "is not on the database that its workers left" in said.stderr

    said = desk("db", "restored", "--json")
    assert (said.code, said.json["runs"]) == (0, 2), said
    hold_and_let_go(desk)
    postgres.drop_database(copy)
    place.close()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["db", "backup", "test.db"], "is there already"),
        (["db", "backup", "nowhere/copy.db"], "is no folder"),
        (["db", "restore", "nowhere.db"], "there is no file"),
        (["db", "restore", "letters", "--replace"], "not a readable SQLite database"),
    ],
    ids=["there", "no-folder", "no-file", "no-database"],
)
def test_what_cannot_be_done_touches_nothing(arguments: list[str], text: str, desk: Desk) -> None:
    desk.morning()
    Path("letters").write_text("this is no database " * 500, "utf-8")
    before = sorted(path.name for path in Path().iterdir())
    said = desk(*arguments)
    assert said.code in {2, 3}, said
    assert text in said.stderr
    assert sorted(path.name for path in Path().iterdir()) == before
    assert desk.record("ada")["status"] == "waiting"
