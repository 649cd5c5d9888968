"""A worker's role may do what a worker does, and no more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure import App, Run, RunStatus, StoreError
from perdure.db.maintenance import maintenance_of
from perdure.journal import Amendment, Cell, CellKey, Kind
from tests.places import PostgresServer, database_of

pytest.importorskip("psycopg", reason='no psycopg: `pip install "perdure[postgres]"`')

import psycopg
from psycopg import errors

from perdure.db.postgres import PostgresStore
from perdure.memory import Origin, Whose

ROLE = "perdure_test_worker"


@pytest.fixture
def worker_url(postgres: PostgresServer, postgres_url: str) -> Iterator[str]:
    """The store, for a role that was granted what `perdure db migrate --grant` grants."""
    postgres.sql(f"drop role if exists {ROLE}")
    postgres.sql(f"create role {ROLE} login")
    store = maintenance_of(postgres_url)
    store.grant(ROLE)
    store.grant(ROLE)  # twice is once
    store.close()
    name = database_of(postgres_url)
    postgres.sql("create schema theirs; create table theirs.secret (x int)", name)
    yield with_user(postgres_url, ROLE)
    postgres.sql(f"drop owned by {ROLE}", name)
    postgres.sql(f"drop role {ROLE}")


def with_user(url: str, user: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{user}@{rest.rpartition('@')[2]}"


def app_on(url: str) -> App:
    app = App(url)

    @app.tool(effect="write")
    async def pay(amount: int) -> str:
        return f"paid {amount}"

    @app.agent("child")
    async def child(run: Run, name: str) -> str:
        return await run.step("large", lambda: name * 50_000)

    @app.agent("greeter")
    async def greeter(run: Run, name: str) -> str:
        await run.call(pay, 3)
        await run.step("large", lambda: "x" * 100_000)
        await run.sleep(0.01)
        return f"{(await run.ask('Send it?', show=name)).approved} {await run.receive('word', str)}"

    return app


async def test_a_worker_that_may_make_no_table_still_finds_by_meaning(
    postgres: PostgresServer, postgres_url: str, worker_url: str
) -> None:
    """In the process; and by the extension's index once somebody who may has made it."""
    from perdure.db.working import working_of
    from perdure.memory.working import Part, Query, Space, packed

    name = database_of(postgres_url)
    postgres.sql("create extension vector", name)
    for i, url in enumerate((worker_url, postgres_url, worker_url)):
        store = PostgresStore(url)
        await store.open()
        working, space = working_of(store), Space("default", None, None, "notes")
        parts = [Part(text=f"tea {i}", vector=packed([1.0, float(i)]))]
        origin = Origin(run="r", step="s")
        await working.add(space, parts, kind="note", source="", origin=origin, key=f"{i}", model="m")
        found = await working.search(space, Query(vector=packed([1.0, float(i)]), model="m"))
        assert found[0].text == f"tea {i}" and len(found) == i + 1
        await store.close()
        there = postgres.sql("select to_regclass('perdure.working_near_2') is not null", name)
        assert there == [(i > 0,)]
    assert postgres.sql("select count(*) from working_near_2", name) == [(3,)]


async def test_a_worker_does_its_work_with_just_these_grants(worker_url: str) -> None:
    app = app_on(worker_url)
    async with app:
        await app.start("child", "x", run_id="c1")
        handle = await app.start("greeter", "Ada", run_id="r1", labels={"a": "b"})
        seen = app.store.changes()
        while not await app.store.approvals():
            await app.store.changed(seen, within=1)
            seen = app.store.changes()
        await app.answer("r1", "ask", approved=True, by="ada")
        await app.signal("r1", "word", "there")
        assert await handle.result() == "True there"
        held = await app.start("greeter", "Bob", run_id="r2")
        await app.cancel("r2", terminate=True)
        assert await held.status() is RunStatus.CANCELLED
        key = CellKey("default", "budget", "desk")
        for cell in (Cell(b"1"), Cell(b"2", 1), None, Cell(b"3", 1)):
            await app.store.amend(Amendment([key], lambda there, now, cell=cell: ({key: cell}, None)))
        assert await app.store.due_cells("budget") == [(key, Cell(b"3", 1))]
        assert await app.store.forget_cells("budget", before=2) == 1
        assert await app.store.annotate(held.ref, Kind.OUTCOME, b"{}", actor="ada") is not None
        known, here, origin = app.memory.knowledge, Whose("default"), Origin(run="r1", step="s")
        ann = (await known.entity(here, "person", "Ann", origin=origin, key="a")).entity
        assert ann is not None
        said = await known.say(here, ann.id, "likes", value="tea", origin=origin, key="b")
        assert (await known.retract(here, said.fact, origin=origin, key="c")).done
    store = maintenance_of(worker_url)
    assert store.faults() == []
    assert sum(store.info().runs.values()) == 3
    store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "drop table perdure.blobs",
        "alter table perdure.runs add column x int",
        "truncate perdure.runs",
        "create table perdure.x (y int)",
        "create index on perdure.runs (head)",
        "drop schema perdure cascade",
        "update perdure.schema set version = 1",
        "select * from theirs.secret",
        f"alter role {ROLE} superuser",
    ],
)
def test_what_it_may_not_do(statement: str, worker_url: str) -> None:
    with psycopg.connect(worker_url) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement.encode())


async def test_a_grant_that_is_missing_is_named(
    worker_url: str, postgres: PostgresServer, postgres_url: str
) -> None:
    name = database_of(postgres_url)
    postgres.sql(f"revoke insert on perdure.runs from {ROLE}", name)
    app = app_on(worker_url)
    with pytest.raises(
        StoreError, match="permission denied for table runs; grant this role what Perdure needs"
    ):
        await app.start("greeter", "Ada")
    await app.close()
    store = maintenance_of(worker_url)
    assert store.faults() == ["this role has no right to insert `perdure.runs`"]
    store.close()
    postgres.sql(f"revoke all on perdure.schema from {ROLE}", name)
    with pytest.raises(StoreError, match="permission denied for table schema; grant this role"):
        await PostgresStore(worker_url).open()


def test_what_the_docs_run_on_the_tables_runs(postgres: PostgresServer, postgres_url: str) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "postgresql.md"
    blocks = re.findall(r"```sql\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    statements = [s for block in blocks for s in block.split(";") if "create " not in s and s.strip()]
    assert len(statements) >= 8
    for statement in statements:
        postgres.sql(statement, database_of(postgres_url))


async def test_it_cannot_make_the_tables_and_is_told_who_does(
    worker_url: str, postgres: PostgresServer, postgres_url: str
) -> None:
    postgres.sql("drop schema perdure cascade", database_of(postgres_url))
    with pytest.raises(
        StoreError, match=r"permission denied for database .*let the schema's owner run `perdure db"
    ):
        await PostgresStore(worker_url).open()
