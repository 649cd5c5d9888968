"""F19: bytes of a journal are flipped, cut or swapped on disk: it is detected, named, and nothing is built on it.

On PostgreSQL by SQL; its server answers for the bytes of its files (`initdb --data-checksums`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from perdure import App, PerdureError, Run, StoreCorrupt, StoreError
from perdure.db.sqlite import SqliteStore
from tests.faults.processes import until
from tests.places import Place, SqlitePlace

MARK = "a payload that nobody else has"
BIG = "a big payload that nobody else has " * 2000
"""Stored by address, beside the entries."""


def new_app(where: Path | str) -> App:
    app = App(where if isinstance(where, str) else f"sqlite:///{where}", lease=timedelta(seconds=2))

    async def say(text: str) -> str:
        return text

    @app.agent("keeper")
    async def keeper(run: Run) -> list[str]:
        first = await run.step("first", say, MARK + run.id)
        big = await run.step("big", say, BIG)
        word = await run.receive("word", str)
        return [first, word, str(len(big))]

    return app


async def waiting(app: App, run_id: str, reason: str) -> bool:
    record = await (await app.handle(run_id)).record()
    return record.status == "waiting" and reason in record.reasons


async def fill(where: Path | str) -> None:
    """Two runs, `r1` and `r2`, that wait for a signal."""
    async with new_app(where) as app:
        for run_id in ("r1", "r2"):
            await app.start("keeper", run_id=run_id)
        for run_id in ("r1", "r2"):
            await until(lambda run_id=run_id: waiting(app, run_id, "signal"), "both runs wait")


@pytest.fixture
async def url(store_url: str) -> str:
    """A store with two runs that wait."""
    await fill(store_url)
    return store_url


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A store with two runs that wait, all of it in the file, none in its log."""
    path = tmp_path / "perdure.db"
    await fill(path)
    assert not path.with_name("perdure.db-wal").exists()
    return path


def entries_at(place: Place, url: str, run_id: str) -> list[tuple[object, ...]]:
    return place.sql(
        url, f"select e.* from entries e join runs r on r.rid = e.rid where r.id = '{run_id}' order by seq"
    )


def entries_of(path: Path, run_id: str) -> list[tuple[object, ...]]:
    return entries_at(SqlitePlace(), f"sqlite:///{path}", run_id)


def contents(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, data: bytes) -> None:
    """The file with other contents, and nothing left beside it."""
    for leftover in path.parent.glob(f"{path.name}*"):
        leftover.unlink()
    path.write_bytes(data)


ONE = "rid = (select rid from runs where id = 'r1')"
STEP = f"{ONE} and key = 'first'"
EDITS = {
    "payload": (
        f"update entries set payload = cast(replace(payload, 'payload', 'pAyload') as blob) where {STEP}",
        "entry 3",
    ),
    "hash": (f"update entries set hash = zeroblob(32) where {STEP}", "entry 3"),
    "salt": (f"update entries set salt = zeroblob(16) where {STEP}", "entry 3"),
    "time": (f"update entries set at = at + 1 where {STEP}", "entry 3"),
    "key": (f"update entries set key = 'frist' where {STEP}", "entry 3"),
    "kind": (f"update entries set kind = 4 where {STEP}", "entry 3"),
    "blob": ("update blobs set data = cast(replace(data, 'payload', 'pAyload') as blob)", "entry 4"),
    "lost blob": ("delete from blobs", "entry 4"),
    "cut": (f"delete from entries where {ONE} and seq = 6", "ends at entry 5"),
    "cut to the first": (f"delete from entries where {ONE} and seq > 1", "ends at entry 1"),
    "all gone": (f"delete from entries where {ONE}", "ends at entry 0"),
    "hole": (f"delete from entries where {ONE} and seq = 3", "entry 3 is missing"),
    "swap": (
        f"update entries set seq = case seq when 3 then 103 else 104 end where {ONE} and seq in (3, 4);"
        f"update entries set seq = case seq when 103 then 4 else 3 end where {ONE} and seq in (103, 104)",
        "entry 3",
    ),
    "of another run": (
        f"update entries set payload = (select payload from entries e where e.rid <> entries.rid and e.seq = 3),"
        f" salt = (select salt from entries e where e.rid <> entries.rid and e.seq = 3),"
        f" hash = (select hash from entries e where e.rid <> entries.rid and e.seq = 3) where {STEP}",
        "entry 3",
    ),
    "head": ("update runs set head = 5 where id = 'r1'", "ends at entry 6, and should end at entry 5"),
    "head hash": ("update runs set head_hash = zeroblob(32) where id = 'r1'", "entry 6"),
}


def in_postgres(sql: str) -> str:
    """What SQLite calls otherwise."""
    sql = re.sub(r"zeroblob\((\d+)\)", r"decode(repeat('00', \1), 'hex')", sql)
    return re.sub(
        r"cast\(replace\((\w+), (.*?)\) as blob\)",
        r"convert_to(replace(convert_from(\1, 'UTF8'), \2), 'UTF8')",
        sql,
    )


@pytest.mark.parametrize(("sql", "named"), EDITS.values(), ids=EDITS)
async def test_an_edited_journal_is_detected_and_named(
    place: Place, url: str, sql: str, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    place.sql(url, sql if place.kind == "sqlite" else in_postgres(sql))
    before = entries_at(place, url, "r1")
    assert bool(before) == (named != "ends at entry 0")
    both = "blobs" in sql

    with caplog.at_level(logging.ERROR):
        async with new_app(url) as app:
            for run_id in ("r1", "r2"):
                await app.signal(run_id, "word", "go")
            await until(lambda: waiting(app, "r1", "corrupt"), "the run is set aside")
            if not both:
                assert (await (await app.handle("r2")).result())[1] == "go"
            record = await (await app.handle("r1")).record()

    assert "run `r1`" in record.reasons[1] and named in record.reasons[1], record.reasons
    assert "run `r1`" in caplog.text and named in caplog.text
    assert entries_at(place, url, "r1") == before, (
        "something was built on a journal that is not what was written"
    )


async def test_a_flipped_byte_in_the_file_is_detected(path: Path) -> None:
    """Not by SQL: SQLite has no checksums, and reads it as it stands."""
    data = bytearray(contents(path))
    at = data.index(f"{MARK}r1".encode())
    data[at] ^= 1
    put(path, data)
    before = entries_of(path, "r1")

    async with new_app(path) as app:
        for run_id in ("r1", "r2"):
            await app.signal(run_id, "word", "go")
        await until(lambda: waiting(app, "r1", "corrupt"), "the run is set aside")
        assert (await (await app.handle("r2")).result())[1] == "go"

    assert entries_of(path, "r1") == before


async def test_a_repaired_journal_goes_on(path: Path) -> None:
    """From a backup, say; and the signal that came meanwhile is there."""
    whole = contents(path)
    data = bytearray(whole)
    data[data.index(f"{MARK}r1".encode())] ^= 1
    put(path, data)
    async with new_app(path) as app:
        await app.signal("r1", "word", "go")
        await until(lambda: waiting(app, "r1", "corrupt"), "the run is set aside")
    connection = apsw.Connection(str(path))
    wrong = f"{MARK}r1".replace("a payload", "` payload", 1)
    connection.execute(
        "update entries set payload = cast(replace(payload, ?, ?) as blob)",
        (wrong.encode(), f"{MARK}r1".encode()),
    )
    connection.close()

    async with new_app(path) as app:
        await app.resume("r1")
        assert (await (await app.handle("r1")).result())[1] == "go"


def flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 1, 8, 512])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def blank(data: bytearray, rng: random.Random) -> None:
    """A lost page, as a disk returns it."""
    page = 8192 * rng.randrange(len(data) // 8192)
    data[page : page + 8192] = bytes(8192)


@pytest.mark.soak_on("blank")
@pytest.mark.parametrize("damage", [flip, cut, blank])
async def test_random_damage_never_gives_a_wrong_result(
    path: Path, damage: Callable[[bytearray, random.Random], None]
) -> None:
    """The result is right, or an error of ours says what is wrong, or the run waits and says why."""
    whole = contents(path)
    outcomes: dict[str, int] = {}
    for seed in range(40):
        rng = random.Random(seed)
        data = bytearray(whole)
        damage(data, rng)
        put(path, data)
        try:
            outcome = await go_on(path)
        except PerdureError as error:
            outcome = type(error).__name__
        except Exception as error:
            raise AssertionError(
                f"seed {seed}: {error!r} instead of an error that says what is wrong"
            ) from error
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert set(outcomes) - {"right"}, outcomes


async def go_on(path: Path) -> str:
    """What comes of run `r1` in a damaged store."""
    app = new_app(path)
    try:
        async with asyncio.timeout(10), app:
            await app.signal("r1", "word", "go")
            worker = app._worker_task
            assert worker is not None
            while True:
                if worker.done():
                    worker.result()
                record = await (await app.handle("r1")).record()
                if record.status == "waiting" and "corrupt" in record.reasons:
                    return "corrupt"
                if record.status not in ("pending", "running", "waiting"):
                    break
                await app.store.changed(app.store.changes(), within=0.02)
            result = await (await app.handle("r1")).result()
            assert result == [f"{MARK}r1", "go", str(len(BIG))], "a wrong result"
            return "right"
    finally:
        await app.store.close()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    put(path, b"Dear diary, " * 1000)
    with pytest.raises(StoreCorrupt, match=r"notes\.txt` is not a readable SQLite database"):
        await SqliteStore(path).open()
    assert contents(path) == b"Dear diary, " * 1000


async def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = apsw.Connection(str(path))
    connection.execute("create table songs (name)")
    connection.close()
    before = contents(path)
    with pytest.raises(StoreCorrupt, match="is a database of another program"):
        await SqliteStore(path).open()
    assert contents(path) == before


async def test_a_store_of_a_newer_release_is_refused_and_left_alone(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 99)
    connection.close()
    before = contents(path)
    with pytest.raises(
        StoreError, match=r"has schema version 99, .* written by a newer Perdure: upgrade this one"
    ):
        await SqliteStore(path).open()
    assert contents(path) == before


async def test_an_entry_of_a_newer_format_waits_for_a_newer_worker(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(f"update entries set format = 9 where {ONE} and seq = 6")
    connection.close()
    before = entries_of(path, "r1")
    async with new_app(path) as app:
        for run_id in ("r1", "r2"):
            await app.signal(run_id, "word", "go")
        await until(lambda: waiting(app, "r1", "no_worker_for_version"), "the run is set aside")
        record = await (await app.handle("r1")).record()
        assert "entry 6 has format 9" in record.reasons[1]
        assert "upgrade this worker" in record.reasons[1]
        assert (await (await app.handle("r2")).result())[1] == "go"
    assert entries_of(path, "r1") == before


def test_json_is_what_the_payloads_are(path: Path) -> None:
    """So that the tests above edit what they think they edit."""
    first = entries_of(path, "r1")[2]
    assert json.loads(first[13]) == f"{MARK}r1"  # type: ignore[arg-type]
