"""`perdure db copy`: a SQLite store moves to PostgreSQL while its runs are in flight."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.core.settings import without_password
from tests.cli.conftest import PATIENCE, Cli
from tests.places import PostgresServer, database_of

pytest.importorskip("psycopg", reason='no psycopg: `pip install "perdure[postgres]"`')

PROGRAM = """
import time
from datetime import timedelta
from pathlib import Path
from perdure import App, Run

app = App("memory://")

def note(what):
    with open("effects", "a") as file:
        file.write(what + "\\\\n")
    return what

def held(name):
    Path(f"begun-{name}").touch()
    until = time.monotonic() + 60
    while not Path("go").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return note(f"held {name}")

@app.tool(effect="write")
async def pay(who: str) -> str:
    note(f"paid {who}")
    if who == "doubtful":
        raise TimeoutError("no answer")
    return who

@app.agent("waits")
async def waits(run: Run, name: str) -> str:
    await run.step("first", note, f"first {name}")
    await run.call(pay, name)
    return f"{(await run.ask('Go on?', show={'name': name})).approved} {await run.step('last', note, f'last {name}')}"

@app.agent("holds")
async def holds(run: Run, name: str) -> str:
    await run.call(pay, name)
    await run.step("large", lambda: "x" * 100_000)
    return await run.step("held", held, name)

@app.agent("greets")
async def greets(run: Run, name: str) -> str:
    return await run.step("large", lambda: name * 50_000)

@app.agent("hears")
async def hears(run: Run, name: str) -> str:
    await run.step("first", note, f"first {name}")
    return await run.receive("word", str)
""".replace("\\\\n", "\\n")


@pytest.fixture
def empty_url(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.new_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("desk", None)
    Path("desk.py").write_text(PROGRAM)
    made = Desk(tmp_path)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


class Desk(Cli):
    @property
    def options(self) -> list[str]:
        return ["--store", self.store, "--app", "desk.py:app"]

    def at(self, url: str) -> Desk:
        """The same desk on another store."""
        other = Desk(self.folder)
        other.store, other.processes = url, self.processes
        return other

    def journal(self, run: str) -> list[str]:
        said = self("runs", "export", run)
        assert said.code == 0, said
        return said.stdout.splitlines()[1:]  # without the header, which names the status

    def runs(self) -> dict[str, str]:
        return {run["run"]: run["status"] for run in self("runs", "ls", "--json").json}


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true"
        time.sleep(0.02)


def sql(statement: str) -> list[Any]:
    with closing(apsw.Connection("test.db")) as connection:
        return connection.execute(statement).fetchall()


def effects() -> list[str]:
    return sorted(Path("effects").read_text().splitlines())


def in_flight(cli: Desk) -> None:
    """Runs that wait, are in doubt, are pending, were seized, have been pruned, and one whose worker was killed."""
    cli.begin("greets", "pruned", "--input", '"x"')
    cli.work()
    assert cli("runs", "prune", "pruned", "--yes").code == 0
    cli.begin("waits", "waiting", "--input", '"waiting"', "--label", "desk=3", "--label", "q=a'b")
    cli.begin("waits", "doubtful", "--input", '"doubtful"')
    cli.begin("hears", "hearing", "--input", '"hearing"')
    cli.work()
    assert list(cli.runs().values()) == ["waiting", "waiting", "waiting", "succeeded"]
    cli.begin("holds", "running", "--input", '"running"')
    worker = cli.start("worker", "--lease", "1h")
    until(lambda: Path("begun-running").exists(), "the step began")
    worker.send_signal(signal.SIGKILL)
    cli.finish(worker)
    assert cli("signal", "hearing", "word", '"heard"', "--message-id", "m1").code == 0
    cli.begin("waits", "pending", "--input", '"pending"', "--tenant", "other")
    sql("insert into cells values ('other', 'budget', 'desk', cast('{\"spent\":3}' as blob), null)")
    sql("insert into cells values ('é', 'notice', 'n', x'00ff', 7)")
    # who took this one to terminate it has died
    sql("update runs set status = 'running', next_wake = null, ready = 0, epoch = 7 where id = 'pending'")


@pytest.mark.soak
def test_a_store_moves_with_its_runs_in_flight(cli: Desk, empty_url: str, postgres: PostgresServer) -> None:
    in_flight(cli)
    before = {run: cli.journal(run) for run in cli.runs()}
    epochs = sql("select id, epoch from runs order by id")

    refused = cli("db", "copy", empty_url)
    assert refused.code == 3
    assert "has workers: w-" in refused.stderr
    assert "with 1 runs. Stop them first" in refused.stderr
    done = cli("db", "copy", empty_url, "--force", "--json")
    assert done.code == 0, done
    assert (done.json["rows"]["runs"], done.json["taken"]) == (6, 1)

    there = cli.at(empty_url)
    assert {run: there.journal(run) for run in before} == before
    assert postgres.sql("select * from perdure.cells order by kind", database_of(empty_url)) == [
        ("other", "budget", "desk", b'{"spent":3}', None),
        ("é", "notice", "n", b"\x00\xff", 7),
    ]
    assert done.json["rows"]["cells"] == 2
    assert postgres.sql("select id, epoch from perdure.runs order by id", database_of(empty_url)) == epochs
    record = there.record("waiting")
    assert record["labels"] == {"desk": "3", "q": "a'b"}
    assert len(there("runs", "ls", "--principal", record["principal"], "--json").json) == len(before)
    assert there.record("running")["status"] == "pending"
    assert there("db", "check").code == 0
    for command in (["worker", "--once"], ["runs", "ls"], ["db", "copy", "postgresql://x/elsewhere"]):
        said = cli(*command)
        assert said.code == 3, said
        assert f"has moved to `{without_password(empty_url)}`" in said.stderr

    Path("go").touch()
    assert (
        there("signal", "hearing", "word", '"again"', "--message-id", "m1", "--json").json["fresh"] is False
    )
    there.work()
    assert there("worker", "--once", "--tenant", "other").code == 0
    for run, tenant in (("waiting", "default"), ("pending", "other")):
        said = there("approvals", "approve", run, "--tenant", tenant)
        assert said.code == 0, said
    assert there("runs", "settle", "doubtful", "pay", "--happened", '"doubtful"').code == 0
    there.work()
    assert there("approvals", "approve", "doubtful").code == 0
    there.work()

    assert set(there.runs().values()) == {"succeeded"}
    assert there.record("hearing")["result"] == "heard"
    names = ("doubtful", "pending", "waiting")
    each = [f"{what} {name}" for what in ("first", "last", "paid") for name in names]
    assert effects() == sorted([*each, "first hearing", "held running", "paid running"])
    checked = there("db", "check", "--json").json
    assert (checked["runs"], checked["faults"]) == (6, [])
    assert there.begin("waits", "new", "--input", '"new"')  # the numbers of runs go on


def test_a_worker_left_behind_can_do_nothing_any_more(cli: Desk, empty_url: str) -> None:
    cli.begin("holds", "r", "--input", '"r"')
    worker = cli.start("worker", "--lease", "2s")
    until(lambda: Path("begun-r").exists(), "the step began")
    assert cli("db", "copy", empty_url, "--force").code == 0
    head = len(cli.at(empty_url).journal("r"))
    Path("go").touch()
    said = cli.finish(worker)
    assert said.code == 3, said
    assert "has moved to" in said.stderr
    connection = apsw.Connection(str(cli.folder / "test.db"))
    assert connection.execute("select status, head from runs").fetchall() == [("pending", head)]
    for statement in (
        "update runs set status = 'running'",
        "insert into cells values ('t', 'k', 'n', x'', null)",
    ):
        with pytest.raises(apsw.ConstraintError, match="has moved to"):
            connection.execute(statement)
    cli.at(empty_url).work()
    assert cli.at(empty_url).record("r")["status"] == "succeeded"
    assert effects().count("paid r") == 1


def test_unmove_lets_work_go_on(cli: Desk, empty_url: str) -> None:
    cli.begin("waits", "r", "--input", '"r"')
    assert cli("db", "unmove").code == 2
    assert cli("db", "copy", empty_url).code == 0
    assert cli("db", "info", "--json").json["moved"] == without_password(empty_url)
    refused = cli("db", "unmove")
    assert refused.code == 2
    assert "their effects would happen again here" in refused.stderr
    assert cli("db", "unmove", "--yes").code == 0
    cli.work()
    assert cli.record("r")["status"] == "waiting"


def test_a_copy_to_look_at(cli: Desk, empty_url: str) -> None:
    cli.begin("waits", "r", "--input", '"r"')
    assert cli("db", "copy", empty_url, "--keep").code == 0
    cli.work()
    assert (cli.record("r")["status"], cli.at(empty_url).record("r")["status"]) == ("waiting", "pending")
    refused = cli("db", "copy", empty_url)
    assert refused.code == 2
    assert "holds runs already" in refused.stderr


def test_a_journal_that_was_changed_is_not_copied(cli: Desk, empty_url: str) -> None:
    for run in ("good", "bad"):
        cli.begin("waits", run, "--input", f'"{run}"')
    cli.work()
    sql("update entries set payload = '4' where rid = 2 and seq = 3")
    refused = cli("db", "copy", empty_url)
    assert refused.code == 3
    assert "run `bad`: entry 3" in refused.stderr
    assert cli.at(empty_url).runs() == {}
    assert cli.runs() == {"good": "waiting", "bad": "waiting"}


def test_what_postgresql_cannot_hold_is_named(cli: Desk, empty_url: str) -> None:
    cli.begin("waits", "r", "--input", '"r"')
    sql("update runs set progress = 'a' || char(0) || 'b'")
    refused = cli("db", "copy", empty_url)
    assert refused.code == 3
    assert "cannot hold a row of `runs` (rid `1`, tenant `default`, id `r`)" in refused.stderr


def blocked(postgres: PostgresServer, url: str) -> bool:
    waiting = f"datname = '{database_of(url)}' and wait_event_type = 'Lock' and wait_event = 'advisory'"
    return bool(postgres.sql(f"select 1 from pg_stat_activity where {waiting}"))


HOLD = """
    create function hold() returns trigger language plpgsql as
    $$ begin perform pg_advisory_xact_lock_shared(1); return new; end $$
"""


@pytest.mark.soak
def test_a_copy_killed_in_its_middle_leaves_both_usable(
    cli: Desk, empty_url: str, postgres: PostgresServer
) -> None:
    in_flight(cli)
    there = cli.at(empty_url)
    assert there("db", "migrate").code == 0
    import psycopg

    with psycopg.connect(empty_url, autocommit=True) as holder:
        holder.execute(HOLD)
        holder.execute(
            "create trigger hold before insert on perdure.entries for each row execute function hold()"
        )
        holder.execute("select pg_advisory_lock(1)")
        copying = cli.start("db", "copy", empty_url, "--force")
        until(lambda: blocked(postgres, empty_url), "the copy is in its middle")
        copying.send_signal(signal.SIGKILL)
        cli.finish(copying)
        holder.execute("select pg_advisory_unlock(1)")
    until(lambda: there.runs() == {}, "nothing arrived")
    assert cli.runs()["running"] == "running"
    assert cli("db", "copy", empty_url, "--force").code == 0
    assert set(there.runs().values()) == {"pending", "waiting", "succeeded"}


@pytest.mark.parametrize("arrives", [True, False])
def test_a_copy_killed_before_its_last_word(
    cli: Desk, empty_url: str, postgres: PostgresServer, arrives: bool
) -> None:
    cli.begin("waits", "r", "--input", '"r"')
    there = cli.at(empty_url)
    assert there("db", "migrate").code == 0
    import psycopg

    with psycopg.connect(empty_url, autocommit=True) as holder:
        holder.execute(HOLD)
        holder.execute(
            "create constraint trigger hold after insert on perdure.runs deferrable initially deferred "
            "for each row execute function hold()"
        )
        holder.execute("select pg_advisory_lock(1)")
        copying = cli.start("db", "copy", empty_url)
        until(lambda: blocked(postgres, empty_url), "the commit is under way")
        copying.send_signal(signal.SIGKILL)
        cli.finish(copying)
        if not arrives:
            postgres.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'advisory' "
                f"and datname = '{database_of(empty_url)}'"
            )
        holder.execute("select pg_advisory_unlock(1)")
        holder.execute("drop trigger hold on perdure.runs")
    # Whether it arrived or not, nobody goes on in the old one until that is known.
    refused = cli("runs", "ls")
    assert refused.code == 3
    assert "run `perdure db copy` again" in refused.stderr
    done = cli("db", "copy", empty_url, "--json")
    assert done.code == 0, done
    assert done.json["there_already"] is arrives
    there.work()
    assert there.record("r")["status"] == "waiting"
    assert json.loads(there.journal("r")[0])["kind"] == 1
