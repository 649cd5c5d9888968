"""A PostgreSQL store of an earlier version is brought forward, and what it held goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure import App, Run, RunStatus, StoreError, StoreUnavailable, verify_chain

from .conftest import PostgresServer

pytest.importorskip("psycopg", reason='no psycopg: `pip install "perdure[postgres]"`')

import psycopg

from perdure.db.maintenance import maintenance_of
from perdure.db.postgres import PostgresStore
from perdure.db.postgres.connection import newest_version

VERSIONS = sorted((Path(__file__).parent / "versions" / "postgres").glob("*.sql"))


@pytest.fixture(params=VERSIONS, ids=lambda dump: dump.stem)
def old_url(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[str]:
    """A store as the release of `dump` left it."""
    name = postgres.new_database()
    postgres.sql(request.param.read_text(encoding="utf-8"), name)
    yield postgres.url(name)
    postgres.sql(f"drop database {name} with (force)")


def app_on(url: str) -> App:
    app = App(url)

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


def test_every_earlier_version_has_its_store() -> None:
    """Whoever adds a migration adds a store of the version before, as plain SQL."""
    assert [int(dump.stem) for dump in VERSIONS] == list(range(1, newest_version()))


async def test_runs_of_every_version_go_on(old_url: str) -> None:
    store = maintenance_of(old_url)
    before = store.info()
    version = before.schema
    assert before.runs == {"succeeded": 1, "waiting": 1}
    with pytest.raises(
        StoreError, match=rf"has schema version {version}, this release needs \d+: run `perdure db migrate`"
    ):
        await PostgresStore(old_url).open()
    steps = store.pending()
    assert store.versions()[0] == version, "looking migrates nothing"
    assert store.migrate() == steps == list(range(version + 1, newest_version() + 1))
    assert store.migrate() == []
    assert store.versions() == (newest_version(), newest_version())
    assert store.faults() == []
    store.close()
    app = app_on(old_url)

    async with app:
        done, waiting = await app.handle("v1-done"), await app.handle("v1-waiting")
        assert await done.result() == "hello Bob True"
        verify_chain(waiting.ref, await waiting.entries())
        assert await waiting.status() is RunStatus.WAITING
        await app.answer("v1-waiting", "ask", approved=False, by="ada")
        assert await waiting.result() == "hello Ada False"


@pytest.mark.parametrize("old_url", VERSIONS[:1], ids=lambda dump: dump.stem, indirect=True)
async def test_a_migration_waits_for_who_is_in_the_way_names_it_and_changes_nothing(old_url: str) -> None:
    store = maintenance_of(old_url)
    told: list[str] = []
    with psycopg.connect(old_url, application_name="backup") as other:
        other.execute("lock table perdure.runs in access share mode")
        with pytest.raises(StoreUnavailable, match=r"nothing was changed: .* held by process \d+ .*\(backup"):
            store.migrate(wait=0.01, waiting=told.append)
    assert "idle in transaction" in told[0]
    assert store.versions()[0] == 1

    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with psycopg.connect(old_url) as another:
            another.execute("lock table perdure.runs in access share mode")
            held.set()
            let_go.wait(60)

    holder = asyncio.create_task(asyncio.to_thread(hold))
    await asyncio.to_thread(held.wait)
    migrated = await asyncio.to_thread(store.migrate, wait=60, waiting=lambda who: let_go.set())
    assert migrated
    await holder
    store.close()
