"""A store of every earlier version is brought forward, and what it held goes on."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from perdure import App, Run, RunStatus, StoreTooNew, verify_chain
from perdure.db.sqlite import SqliteStore
from perdure.db.sqlite.connection import connect, migrate, newest_version, version_of
from perdure.journal import ENDINGS, RunQuery

VERSIONS = sorted((Path(__file__).parent / "versions").glob("*.sql"))


def old_store(folder: Path, dump: Path) -> Path:
    """A store file as the release of `dump` left it."""
    path = folder / "old.db"
    connection = apsw.Connection(str(path))
    connection.execute(dump.read_text(encoding="utf-8"))
    connection.close()
    return path


def app_on(path: Path) -> App:
    app = App(SqliteStore(path))

    @app.tool(effect="write")
    async def pay(amount: int) -> str:
        raise AssertionError("paid twice")

    @app.agent("greeter")
    async def greeter(run: Run, name: str) -> str:
        text = await run.step("greet", lambda: f"hello {name}")
        await run.call(pay, 3)
        answer = await run.ask("Send it?", show=text)
        return f"{text} {answer.approved}"

    return app


def test_every_version_has_its_store() -> None:
    """Whoever adds a migration adds a store of the version before: `sqlite3 FILE .dump` of a small one."""
    assert [int(dump.stem) for dump in VERSIONS] == list(range(1, newest_version() + 1))


def test_a_new_file_is_never_seen_with_the_schema_of_an_older_release(tmp_path: Path) -> None:
    """Workers that are started together on a store that is not there yet all come up."""
    path = str(tmp_path / "new.db")
    connection, other = connect(path), connect(path)
    seen: list[int] = []

    def committed() -> bool:
        seen.append(version_of(other))
        return False

    connection.set_commit_hook(committed)  # type: ignore[attr-defined]
    migrate(connection, path)
    assert seen == [0]
    assert version_of(other) == newest_version()
    connection.close()
    other.close()


@pytest.mark.parametrize("dump", VERSIONS, ids=lambda dump: dump.stem)
async def test_runs_of_every_version_go_on(tmp_path: Path, dump: Path) -> None:
    path = old_store(tmp_path, dump)
    connection = connect(str(path))
    migrate(connection, str(path))
    assert version_of(connection) == newest_version()
    connection.close()
    app = app_on(path)

    async with app:
        done, waiting = await app.handle("v1-done"), await app.handle("v1-waiting")
        assert await done.result() == "hello Bob True"
        verify_chain(waiting.ref, await waiting.entries())
        assert await waiting.status() is RunStatus.WAITING
        await app.answer("v1-waiting", "ask", approved=False, by="ada")
        assert await waiting.result() == "hello Ada False"


async def test_when_runs_ended_is_known_also_of_those_before_version_2(tmp_path: Path) -> None:
    path = old_store(tmp_path, VERSIONS[0])
    connection = connect(str(path))
    migrate(connection, str(path))
    connection.close()
    store = SqliteStore(path)
    await store.open()
    runs = await store.find(RunQuery())
    await store.close()
    assert {run.status in ENDINGS for run in runs} == {True, False}
    assert all(run.ended_at == (run.updated_at if run.status in ENDINGS else None) for run in runs)


@pytest.mark.parametrize("dump", VERSIONS, ids=lambda dump: dump.stem)
async def test_for_whom_runs_acted_is_not_guessed_of_those_before_version_4(
    tmp_path: Path, dump: Path
) -> None:
    path = old_store(tmp_path, dump)
    connection = connect(str(path))
    migrate(connection, str(path))
    connection.close()
    store = SqliteStore(path)
    await store.open()
    runs = {run.ref.id: (run.principal, run.subject) for run in await store.find(RunQuery())}
    await store.close()
    known = ("user:ada" if int(dump.stem) >= 4 else None, None)
    assert runs == {"v1-waiting": known, "v1-done": (None, None)}


async def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    connection = connect(str(tmp_path / "new.db"))
    assert migrate(connection, "new.db") == list(range(1, newest_version() + 1))
    assert migrate(connection, "new.db") == []
    connection.close()


async def test_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "later.db"
    connection = connect(str(path))
    migrate(connection, str(path))
    connection.pragma("user_version", newest_version() + 1)
    connection.close()

    with pytest.raises(StoreTooNew, match=r"schema version \d+, this release knows \d+.*upgrade"):
        await SqliteStore(path).open()
