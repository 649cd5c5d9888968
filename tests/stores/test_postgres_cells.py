"""How cells are locked in PostgreSQL: also those that are not there, and nobody in a circle."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from perdure import StoreError
from perdure.journal import Amendment, Cell, CellKey, Change
from perdure.testing import JournalBuilder, ManualClock
from perdure.testing.conformance._scene import approval, claimed
from tests.places import PostgresServer, database_of

pytest.importorskip("psycopg", reason='no psycopg: `pip install "perdure[postgres]"`')

from perdure.db.postgres import PostgresStore
from perdure.db.postgres.connection import Link
from perdure.db.postgres.locked_cells import LockedCells

A, B = CellKey("default", "budget", "a"), CellKey("default", "budget", "b")


def adds(key: CellKey) -> Amendment:
    def change(there: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
        n = int(there[key].data) + 1 if key in there else 1
        return {key: Cell(str(n).encode())}, n

    return Amendment([key], change)


async def until_somebody_waits(postgres: PostgresServer, url: str) -> None:
    waits = (
        f"select 1 from pg_stat_activity where datname = '{database_of(url)}' and wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(postgres.sql, waits):
            pass


async def test_who_waited_for_a_cell_that_was_not_there_begins_anew_when_it_is(
    postgres: PostgresServer, postgres_url: str
) -> None:
    first, second = Link(postgres_url), Link(postgres_url)
    first.execute("begin")
    making = LockedCells(first, lambda: None)
    assert making.take([A])
    second.execute("begin")
    waiting = LockedCells(second, lambda: None)
    taking = asyncio.create_task(asyncio.to_thread(waiting.take, [A, B]))
    await until_somebody_waits(postgres, postgres_url)

    making.amend([adds(A)])
    making.flush()
    first.execute("commit")

    assert not await taking
    second.execute("rollback")
    second.execute("begin")
    assert waiting.take([A, B])
    again = adds(A)
    waiting.amend([again])
    assert again.result == 2
    first.drop()
    second.drop()


async def test_a_job_that_the_server_refuses_takes_its_amendments_back(postgres_url: str) -> None:
    """Those of the jobs around it in the same batch are kept."""
    store = PostgresStore(postgres_url, clock=ManualClock())
    await store.open()
    run = (await claimed(store)).run
    refused = Change(amendments=[adds(A), adds(B)], opened=[approval("a\0b")])
    done = await asyncio.gather(
        store.append(JournalBuilder.of(run).append(b"1", change=refused)),
        store.amend(adds(A)),
        store.amend(adds(A)),
        return_exceptions=True,
    )
    assert isinstance(done[0], StoreError)
    assert done[1:] == [1, 2]
    assert await store.cells("budget") == [(A, Cell(b"2"))]
    await store.close()
