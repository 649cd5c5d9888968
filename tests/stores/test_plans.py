"""Claims and cells stay fast however much there is: the statements that they are made of walk the indexes for them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from perdure.db.listing import narrowed
from perdure.journal import RunQuery, RunStatus
from perdure.testing import ManualClock
from perdure.testing.conformance._scene import AGENTS, enter
from tests.places import PostgresServer, database_of

# As many finished runs, tenants and ready ones as make every other plan a worse one.
ROWS = """
    with recursive n (n) as (select 1 union all select n + 1 from n where n < 6000)
    insert into {runs} (tenant, id, agent, version, status, created_at, updated_at, next_wake, ready, head, head_hash,
                        priority, needs)
    select 't' || (n % 7), 'r' || n, 'greeter', '1',
        case when n > 3000 then 'succeeded' when n % 3 = 0 then 'running' else 'pending' end, 1, 1,
        case when n > 3000 or n % 3 = 0 then null when n % 3 = 1 then 1 else 9000000000000000 + n end,
        {ready}, 1, {hash}, n % 5, ''
    from n
"""

CELLS = """
    with recursive n (n) as (select 1 union all select n + 1 from n where n < 6000)
    insert into {cells} (tenant, kind, name, data, due)
    select 't' || (n % 7), case n % 3 when 0 then 'cache' when 1 then 'notice' else 'budget' end, 'c' || n, {data},
        case when n % 3 < 2 then n end
    from n
"""


def test_of_sqlite(tmp_path: Path) -> None:
    from perdure.db.sqlite import queries
    from perdure.db.sqlite.connection import connect, migrate
    from perdure.db.sqlite.past import conditions
    from perdure.db.sqlite.projections import those_of

    connection = connect(str(tmp_path / "store.db"))
    migrate(connection, "store")
    connection.execute(ROWS.format(runs="runs", ready="n <= 3000 and n % 3 = 1", hash="x'00'"))

    def plan(sql: str) -> str:
        count = len(set(re.findall(r"\?(\d+)", sql))) or sql.count("?")
        return " / ".join(row[3] for row in connection.execute("explain query plan " + sql, ["x"] * count))

    for name, index in {
        "PROMOTE": "COVERING INDEX runs_timers (next_wake>? AND next_wake<?)",
        "NEXT_TIMER": "runs_timers",
        "RUNNING": "COVERING INDEX runs_running",
        "NEXT_TENANT": "COVERING INDEX runs_ready (agent=? AND version=? AND needs=? AND tenant>?)",
        "NEXT_NEEDS": "COVERING INDEX runs_ready (agent=? AND version=? AND needs>?)",
        "READY": "COVERING INDEX runs_ready (agent=? AND version=? AND needs=? AND tenant=?)",
        "NEXT_DEMAND": "COVERING INDEX runs_ready ((agent,version,needs)>(?,?,?))",
        "STRAND": "runs_ready (agent=? AND version=? AND needs=?)",
    }.items():
        found = plan(getattr(queries, name))
        assert index in found, f"{name}: {found}"
        assert "TEMP B-TREE" not in found, f"{name} sorts: {found}"
    for column, query in (
        ("principal", RunQuery(tenant="t1", principal="user:ann")),
        ("subject", RunQuery(tenant="t1", subject="user:ann")),
    ):
        where, values = conditions(query)
        found = plan(f"{queries.FIND_RUNS}{where} order by rid desc limit {len(values)}")
        assert f"INDEX runs_{column} (tenant=? AND {column}=?)" in found, found
        assert "TEMP B-TREE" not in found, f"a list sorts: {found}"
    for query in (
        RunQuery(tenant="t1", labels={"team": "red"}),
        RunQuery(
            tenant="t1", labels={"team": "red"}, statuses=frozenset({RunStatus.FAILED, RunStatus.PARTIAL})
        ),
    ):
        found = plan(those_of(narrowed(query, more=False), conditions(query, page=False)[0]))
        by_what_was_found = re.search(r"SCAN c / SEARCH r USING [^/]*rowid=\?\)", found)
        assert by_what_was_found, f"a list begins with all runs: {found}"
    connection.close()


async def test_of_postgres(
    postgres: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perdure.db.postgres import PostgresStore, queries
    from perdure.db.postgres.connection import Link

    database = database_of(postgres_url)
    rows = ROWS.format(runs="perdure.runs", ready="n <= 3000 and n % 3 = 1", hash="'\\x00'")
    postgres.sql(rows, database)
    postgres.sql(
        "insert into perdure.tenants select 't' || n, '\\x00' from generate_series(0, 6) n", database
    )
    postgres.sql("analyze perdure.runs", database)
    plans: dict[str, str] = {}
    names = {
        getattr(queries, n): n
        for n in ("BEGIN_CLAIM", "WALK", "CLAIM_READY", "NEXT_TIMER", "DEMANDS", "RUNNING")
    }
    execute = Link.execute

    def explained(self: Link, sql: str, values: Any = None) -> Any:
        if sql in names:
            found = execute(self, f"explain {sql}", values).fetchall()
            plans[names[sql]] = "\n".join(line for (line,) in found)
        return execute(self, sql, values)

    monkeypatch.setattr(Link, "execute", explained)
    store = PostgresStore(postgres_url, clock=ManualClock())
    await store.open()
    await enter(store)
    assert len(await store.claim("w1", AGENTS, limit=1, tenant_limit=10_000)) == 1
    await store.next_timer()
    await store.demands()
    await store.close()

    assert plans.keys() == set(names.values())
    for name, index in {
        "BEGIN_CLAIM": "runs_timers",
        "WALK": "runs_ready",
        "CLAIM_READY": "runs_ready",
        "NEXT_TIMER": "runs_timers",
        "DEMANDS": "runs_ready",
        "RUNNING": "runs_running",
    }.items():
        assert index in plans[name], f"{name}:\n{plans[name]}"
        assert "Seq Scan on runs" not in plans[name], f"{name}:\n{plans[name]}"
    for column in ("principal", "subject"):
        sql = f"explain {queries.FIND_RUNS} where tenant = 't1' and {column} = 'user:ann' order by rid desc limit 50"
        found = "\n".join(line for (line,) in postgres.sql(sql, database))
        assert f"runs_{column}" in found, found
        assert "Sort" not in found, found


ENTRIES = """
    with recursive n (n) as (select 1 union all select n + 1 from n where n < 9000)
    insert into {entries} (rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt, payload, hash)
    select n / 30, n % 30 + 1, 1, case n % 3 when 0 then 21 else 3 end, 's', n, 0, 'w', 1, 1, {bytes}, {bytes}, {bytes},
        {bytes}
    from n
"""


def test_of_what_sqlite_reads_for_a_bill(tmp_path: Path) -> None:
    from perdure.db.sqlite import past
    from perdure.db.sqlite.connection import connect, migrate

    connection = connect(str(tmp_path / "store.db"))
    migrate(connection, "store")
    connection.execute(ENTRIES.format(entries="entries", bytes="x'00'"))

    rows = connection.execute("explain query plan " + past.OF_KIND, ("[3,4]", 21, 0, 0, 10)).fetchall()
    connection.close()

    found = " / ".join(row[3] for row in rows)
    assert "SEARCH entries USING INDEX entries_run (rid=?" in found, found
    assert "SCAN entries" not in found and "TEMP B-TREE" not in found, found


async def test_of_what_postgres_reads_for_a_bill(
    postgres: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perdure.db.postgres import PostgresStore, past
    from perdure.db.postgres.connection import Link

    database = database_of(postgres_url)
    postgres.sql(ENTRIES.format(entries="perdure.entries", bytes="'\\x00'"), database)
    postgres.sql("analyze perdure.entries", database)
    plans: list[str] = []
    execute = Link.execute

    def explained(self: Link, sql: str, values: Any = None) -> Any:
        if sql == past.OF_KIND:
            plans.append("\n".join(line for (line,) in execute(self, f"explain {sql}", values).fetchall()))
        return execute(self, sql, values)

    monkeypatch.setattr(Link, "execute", explained)
    store = PostgresStore(postgres_url)
    await store.open()
    found = await store.of_kind(21, [3, 4], after=(3, 10), limit=10)
    await store.close()

    assert [(rid, e.seq) for rid, e in found] == [(3, s) for s in range(13, 31, 3)] + [
        (4, s) for s in (1, 4, 7, 10)
    ]
    (plan,) = plans
    assert "entries_pkey" in plan and "Seq Scan on entries" not in plan, plan


async def test_of_sqlite_s_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from perdure.db.sqlite import SqliteStore, cells, queries
    from perdure.db.sqlite.connection import connect, migrate

    path = str(tmp_path / "store.db")
    connection = connect(path)
    migrate(connection, "store")
    connection.execute(CELLS.format(cells="cells", data="x'00'"))

    def plan(sql: str) -> str:
        values = ["x"] * sql.count("?")
        return " / ".join(row[3] for row in connection.execute("explain query plan " + sql, values))

    for sql, index in {
        queries.GET_CELL: "PRIMARY KEY (tenant=? AND kind=? AND name=?)",
        queries.DROP_CELL: "PRIMARY KEY (tenant=? AND kind=? AND name=?)",
        cells.DUE: "cells_due (kind=? AND due>? AND due<?)",
        cells.FORGET: "cells_due (kind=? AND due>? AND due<?)",
        cells.LIST + cells.ORDER: "PRIMARY KEY (tenant=? AND kind=?)",
        f"{cells.LIST} and name > ? and name < ?{cells.ORDER}": "(tenant=? AND kind=? AND name>? AND name<?)",
        cells.NEXT_TENANT: "PRIMARY KEY (tenant>?)",
    }.items():
        found = plan(sql)
        assert index in found, f"{sql}: {found}"
        assert "SCAN cells" not in found, f"{sql}: {found}"
        assert "TEMP B-TREE" not in found, f"{sql} sorts: {found}"
    connection.close()
    store = SqliteStore(path)
    await store.open()
    assert [key.name for key, _ in await store.due_cells("notice", limit=2)] == ["c1", "c4"]
    await store.close()


@pytest.mark.parametrize(
    ("after", "first"),
    [
        (None, (">=", "p/")),
        (("t", "k", "p/7"), (">", "p/7")),
        (("t", "k", "a"), (">=", "p/")),
        (("s", "z", "z"), (">=", "p/")),
        (("t", "l", ""), None),
    ],
)
def test_a_page_of_cells_begins_at_one_bound(
    after: tuple[str, str, str] | None, first: tuple[str, str] | None
) -> None:
    from perdure.db.names import first_name
    from perdure.journal import CellKey

    assert first_name("t", "k", "p/", None if after is None else CellKey(*after)) == first


async def test_of_postgres_s_cells(
    postgres: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perdure.db.postgres import PostgresStore, cells, locked_cells
    from perdure.db.postgres.connection import Link
    from perdure.journal import Amendment, Cell, CellKey

    database = database_of(postgres_url)
    postgres.sql(CELLS.format(cells="perdure.cells", data="'\\x00'"), database)
    postgres.sql("analyze perdure.cells", database)
    plans: dict[str, str] = {}
    names = {
        locked_cells.LOCK: "LOCK",
        locked_cells.DROP: "DROP",
        cells.DUE: "DUE",
        cells.FORGET: "FORGET",
        cells.LIST + cells.ORDER: "LIST",
        cells.NEXT_TENANT: "NEXT_TENANT",
    }
    execute = Link.execute

    def explained(self: Link, sql: str, values: Any = None) -> Any:
        if sql in names:
            found = execute(self, f"explain {sql}", values).fetchall()
            plans[names[sql]] = "\n".join(line for (line,) in found)
        return execute(self, sql, values)

    monkeypatch.setattr(Link, "execute", explained)
    store = PostgresStore(postgres_url)
    await store.open()
    written = {CellKey("t2", "budget", f"c{n}"): Cell(b"1") if n % 2 else None for n in range(2, 400, 21)}
    await store.amend(Amendment(list(written), lambda there, now: (written, None)))
    assert [key.name for key, _ in await store.due_cells("notice", limit=2)] == ["c1", "c4"]
    assert await store.forget_cells("cache", before=100, limit=5) == 5
    first, *_, last = await store.cells(
        "notice", limit=1500
    )  # of all tenants, and more than there are of one
    assert (first[0].tenant, last[0].tenant) == ("t0", "t5")
    await store.close()

    assert plans.keys() == set(names.values())
    for name, index in {
        "LOCK": "cells_pkey",
        "DROP": "cells_pkey",
        "DUE": "cells_due",
        "FORGET": "cells_due",
        "LIST": "cells_pkey",
        "NEXT_TENANT": "cells_pkey",
    }.items():
        assert index in plans[name], f"{name}:\n{plans[name]}"
        assert "Seq Scan on cells" not in plans[name], f"{name}:\n{plans[name]}"
