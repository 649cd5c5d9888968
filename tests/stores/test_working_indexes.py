"""The indexes of working memory: with and without the databases' extensions, in spaces too large to compare all."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from perdure.db.sqlite import SqliteStore
from perdure.db.sqlite import nearness as sqlite_nearness
from perdure.db.sqlite import working as sqlite_working
from perdure.db.working import working_of
from perdure.memory import Origin
from perdure.memory.working import Part, Query, Space, Working, packed
from tests.places import PostgresServer, database_of

NOTES = Space("default", None, None, "notes")
OTHER = NOTES._replace(tenant="other")
ORIGIN = Origin(run="r", step="s")
DIMENSIONS = 64


def vector(seed: int) -> bytes:
    one = random.Random(seed)
    return packed([one.gauss(0, 1) for _ in range(DIMENSIONS)])


def near(seed: int) -> bytes:
    """Not the same, and nearer to it than to all others."""
    one, other = random.Random(seed), random.Random(-seed - 1)
    return packed([one.gauss(0, 1) + 0.3 * other.gauss(0, 1) for _ in range(DIMENSIONS)])


async def fill(working: Working, *, first: int = 0, items: int = 120, space: Space = NOTES) -> None:
    adding: list[Any] = []
    for i in range(first, first + items):
        parts = [Part(text=f"common number{i} {'even' if i % 2 == 0 else 'odd'}", vector=vector(i))]
        kind = "note" if i % 3 else "result"
        key = f"{space}{i}"
        adding.append(working.add(space, parts, kind=kind, source="", origin=ORIGIN, key=key, model="m"))
    await asyncio.gather(*adding)


async def nearest(working: Working, seed: int, **narrowed: Any) -> list[str]:
    query = Query(vector=near(seed), model="m", k=1, **narrowed)
    return [found.text for found in await working.search(NOTES, query)]


async def check(working: Working) -> None:
    """The nearest is found, among all and among few, and nobody else's."""
    for i in (5, 42, 77):
        assert await nearest(working, i) == [f"common number{i} {'even' if i % 2 == 0 else 'odd'}"]
    (one,) = await nearest(working, 5, kinds=("result",))
    assert int(one.split()[1].removeprefix("number")) % 3 == 0
    found = await working.search(NOTES, Query(text="number7 even common", k=3))
    assert found[0].text == "common number7 odd"
    assert [f.text.split()[-1] for f in found[1:]] == ["even", "even"]
    assert len(await working.search(NOTES, Query(text="common", k=4))) == 4


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    yield store
    await store.close()


async def test_a_large_space_is_read_by_signs_first(
    sqlite: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_working, "FEW", 10)
    monkeypatch.setattr(sqlite_working, "LIKELY_EACH", 1)
    working = working_of(sqlite)
    await fill(working)
    await fill(working, space=OTHER, first=3, items=3)
    await check(working)


async def test_without_its_extension_sqlite_finds_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_nearness, "find_spec", lambda name: None)
    assert not sqlite_nearness.has_extension()
    for few in (10, 2000):
        monkeypatch.setattr(sqlite_working, "FEW", few)
        store = SqliteStore(tmp_path / f"{few}.db")
        await store.open()
        working = working_of(store)
        await fill(working)
        await check(working)
        await store.close()


def test_the_extension_of_sqlite_is_loaded_where_it_is_installed_and_brings_no_numpy_into_a_process() -> None:
    pytest.importorskip("sqlite_vec", reason='no sqlite-vec: `pip install "perdure[vectors]"`')
    code = (
        "import sys; from perdure.db.sqlite.nearness import has_extension; "
        "print(has_extension(), 'numpy' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "False"]


async def test_postgres_finds_by_pgvector_once_it_is_there(
    postgres: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written before is in its index too; where there are many, the index finds them, by a filter as well."""
    from perdure.db.postgres import PostgresStore
    from perdure.db.postgres import working as postgres_working

    store = PostgresStore(postgres_url)
    await store.open()
    working = working_of(store)
    await fill(working, items=60)
    await fill(working, space=OTHER, first=3, items=3)
    for i in (5, 42):
        assert await nearest(working, i) == [f"common number{i} {'even' if i % 2 == 0 else 'odd'}"]

    postgres.sql("create extension vector", database_of(postgres_url))
    await fill(working, first=60, items=60)
    assert postgres.sql(f"select count(*) from working_near_{DIMENSIONS}", database_of(postgres_url)) == [
        (123,)
    ]
    await check(working)
    monkeypatch.setattr(postgres_working, "FEW", 10)
    monkeypatch.setattr(postgres_working, "COMMON", 50)
    await check(working)

    gone = (await working.search(NOTES, Query(vector=near(5), model="m", k=1)))[0]
    await working.forget(NOTES, gone.id, key="gone")
    assert postgres.sql(f"select count(*) from working_near_{DIMENSIONS}", database_of(postgres_url)) == [
        (122,)
    ]
    assert await nearest(working, 5) != [gone.text]
    await store.close()


async def test_a_copy_to_postgres_finds_what_the_file_found(
    sqlite: SqliteStore, postgres: PostgresServer, postgres_url: str
) -> None:
    from perdure.db.postgres import PostgresStore
    from perdure.db.postgres.transfer import PostgresTarget
    from perdure.db.sqlite.transfer import SqliteSource
    from perdure.db.transfer import transfer

    await fill(working_of(sqlite), items=80)
    await sqlite.close()
    moved = transfer(SqliteSource(sqlite.url), PostgresTarget(postgres_url))
    assert (moved.rows["working_items"], moved.rows["working_vectors"]) == (80, 80)

    store = PostgresStore(postgres_url)
    await store.open()
    working = working_of(store)
    await check(working)
    await fill(working, first=80, items=1)
    assert (await working.ls(NOTES, limit=1))[0].text == "common number80 even"
    await store.close()
