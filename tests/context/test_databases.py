"""SQL databases as tools that read: what is answered, and every way that is known to get at something else."""

from __future__ import annotations

import sqlite3
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure import App, ConfigError, NotDone, Refused, Run
from tests.places import PostgresServer

TABLES = """
create table customers (id integer primary key, secret text, name text);
create table orders (id integer primary key, customer integer, total integer, placed date);
create table passwords (id integer, word text);
create view mine as select id, name from customers;
create view theirs as select word from passwords;
insert into customers values (1, 'hunter2', 'Ann'), (2, 'hunter3', 'Bob');
insert into orders values (1, 1, 40, '2026-01-02'), (2, 1, 2, '2026-02-03'), (3, 2, 7, '2026-03-04');
insert into passwords values (1, 'hunter4');
"""
QUERIES = {
    "orders_of": {
        "about": "The orders of a customer.",
        "sql": "select id, total from orders where customer = :customer and placed >= :since order by id",
        "parameters": {"customer": "integer", "since": {"type": "date", "optional": False}},
    }
}
ALLOWED = {"customers": ["id", "name"], "orders": "*", "mine": "*"}

Changed = Callable[[], bool]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with something in it that nobody here may see."""
    if request.param == "sqlite":
        file = tmp_path_factory.mktemp("db") / "crm.db"
        with sqlite3.connect(file) as made:
            made.executescript(TABLES)
        made.close()
        yield f"sqlite:///{file}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.new_database()
    for statement in TABLES.strip().split(";\n"):
        server.sql(
            statement.removesuffix(";")
            .replace("table ", "table public.", 1)
            .replace(" view ", " view public."),
            name,
        )
    yield server.url(name)
    server.drop_database(name)


def made(url: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> App:
    monkeypatch.setenv("CRM_DATABASE", url)
    table = {"url": "env:CRM_DATABASE", "tables": ALLOWED, "queries": QUERIES, **more}
    app = App("memory://", database={"crm": table})

    @app.agent("asks")
    async def asks(run: Run, calls: list[Any]) -> list[Any]:
        tools = await app.databases.tools(run, "crm")
        said: list[Any] = []
        for tool, arguments in calls:
            try:
                found = await run.call(tools[tool], **arguments)
                said.append(found if isinstance(found, list) else found.model_dump())
            except (Refused, NotDone) as error:
                said.append(f"{type(error).__name__}: {error}")
        return said

    return app


async def asked(app: App, *calls: Any) -> list[Any]:
    every = [("query", {"sql": call}) if isinstance(call, str) else call for call in calls]
    async with app:
        return await (await app.start("asks", every)).result()


async def test_what_is_there_and_what_it_says(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = made(database, monkeypatch, labels=["personal"])
    assert [(t.name, t.annotations.get("sql", "")[:6]) for t in app.databases.definitions("crm").values()] == [
        ("schema", ""), ("query", ""), ("orders_of", "select"),
    ]  # fmt: skip
    told, whole, joined, grouped, orders, view = await asked(
        app,
        ("schema", {}),
        "select * from customers c order by id",
        "select c.name, sum(total) t from Customers c join orders o on customer = c.id group by 1 order by t desc",
        "with big as (select customer, count(*) n from orders group by customer) select n from big order by n",
        ("orders_of", {"customer": 1, "since": "2026-02-01"}),
        "select count(*) from mine -- all of them",
    )
    by_name = {t["name"]: [c["name"] for c in t["columns"]] for t in told}
    assert by_name["customers"] == ["id", "name"] and "placed" in by_name["orders"]
    assert whole["columns"] == ["id", "name"] and whole["rows"] == [[1, "Ann"], [2, "Bob"]]
    assert joined["rows"] == [["Ann", 42], ["Bob", 7]]
    assert grouped["rows"] == [[1], [2]] and orders["rows"] == [[2, 2]] and view["rows"] == [[2]]


ATTACKS = [
    # other statements
    "delete from customers",
    "select 1; delete from customers",
    "select 1; select 2",
    "with gone as (delete from customers returning *) select * from gone",
    "with gone as (update customers set name = 'Eve' returning id) select * from gone",
    "insert into customers values (9, '', '')",
    "select * into stolen from customers",
    "select * from customers for update",
    "attach 'other.db' as other",
    "pragma writable_schema = 1",
    "copy customers to program 'id'",
    "explain analyze delete from customers",
    "set transaction read write",
    "vacuum into '/tmp/stolen'",
    "call something()",
    "",
    # other tables
    "select * from passwords",
    "select 1 from passwords",
    "select count(*) from passwords",
    "select * from theirs",
    "select name from customers where exists (select 1 from passwords where word like 'h%')",
    "select name from customers union select word from passwords",
    "select (select word from passwords limit 1)",
    "select * from (with passwords as (select 1 as word) select word from passwords) x, passwords",
    "with customers as (select word from passwords) select * from customers",
    "with x as (select * from passwords) select * from x",
    "select * from sqlite_master",
    "select * from sqlite_schema",
    "select * from pragma_table_info('passwords')",
    "select * from main.passwords",
    "select * from temp.customers",
    "select * from pg_catalog.pg_shadow",
    "select * from pg_user",
    "select * from information_schema.tables",
    "table passwords",
    "select * from other.public.customers",
    "select * from customers tablesample system (100), passwords",
    # other columns
    "select secret from customers",
    "select c.secret from customers c",
    "select customers.secret from customers",
    "select name from customers order by secret",
    "select name from customers where secret like 'h%'",
    "select name from customers group by name having max(secret) > 'a'",
    "select c from customers c",
    "select c::text from customers c",
    "select row_to_json(c) from customers c",
    "select (c).secret from customers c",
    "select b from customers as c(a, b)",
    "select * from customers as c(a, b, d)",
    "select name from customers natural join (select 'hunter2' as secret) x",
    "select name from customers join customers d using (secret)",
    "select ctid from customers",
    "select rowid from customers",
    "select x.* from orders o, lateral (select secret from customers) x",
    # functions
    "select pg_sleep(10)",
    "select pg_read_file('/etc/passwd')",
    "select * from pg_read_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select lo_import('/etc/passwd')",
    "select query_to_xml('select * from passwords', true, true, '')",
    "select dblink('', 'select 1')",
    "select set_config('default_transaction_read_only', 'off', false)",
    "select current_setting('data_directory')",
    "select pg_catalog.pg_sleep(10)",
    "select current_user",
    "select load_extension('evil')",
    "select readfile('/etc/passwd')",
    "select fts3_tokenizer('simple')",
    "select zeroblob(1000000000)",
    "select randomblob(1000000000)",
    "select repeat('a', 1000000000)",
    "select lpad('a', 1000000000)",
    "select hex(zeroblob(1000))",
    "select printf('%.*c', 100000000, 'a')",
    "select * from generate_series(1, 1000000000)",
    "select unnest(array[1, 2])",
    "select 'passwords'::regclass",
    "select cast('passwords' as regclass)",
    "with recursive x(n) as (select 1 union all select n + 1 from x) select * from x",
    # not for anybody
    "select :name",
    "select $1",
    "select ?",
    "select @x",
    "select 1 /* no end",
    "select " + "(" * 2000 + "1" + ")" * 2000,
    "select 1 " + "+ 1" * 20_000,
]


async def test_nothing_else_is_reached(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = await asked(made(database, monkeypatch), *ATTACKS, "select count(*) from customers")
    through = [
        attack
        for attack, answer in zip(ATTACKS, said[:-1], strict=True)
        if not str(answer).startswith("Refused: ")
    ]
    assert through == []
    assert said[-1]["rows"] == [[2]]
    assert not any("hunter" in str(answer) for answer in said)


async def test_the_database_itself_lets_nobody_change_or_read_more(database: str) -> None:
    """Where the check of the text had a hole."""
    from perdure.db.reading import Limits, open_reader

    reader = open_reader(database)
    limits = Limits(rows=10, characters=1000, seconds=5)
    columns = {"customers": ["id", "name"], "mine": ["id", "name"]}
    attempts = ["delete from customers", "create table x (y int)", "select 1; delete from customers"]
    sqlite = ["select secret from customers", "select * from passwords", "select load_extension('x')"]
    sqlite += [
        "with mine as (select word from passwords) select * from mine",
        "attach 'x' as y",
        "pragma user_version = 3",
    ]
    postgres = [
        "select * from customers",
        "with x as (delete from public.customers returning 1) select * from x",
    ]
    for attempt in attempts + (sqlite if reader.dialect == "sqlite" else postgres):
        with pytest.raises(
            Exception,
            match=r"(?i)not authorized|prohibited|syntax|not exist|only|must not|multiple commands",
        ):
            await reader.rows(attempt, {}, limits=limits, only=columns)
    # a query that somebody wrote beforehand reads what it likes, and changes as little
    prepared = await reader.rows("select word from passwords", {}, limits=limits, only=None)
    assert prepared.rows == [["hunter4"]]
    with pytest.raises(Exception, match=r"(?i)not authorized|syntax|only"):
        await reader.rows("delete from passwords", {}, limits=limits, only=None)


async def test_a_function_that_writes_cannot_in_a_transaction_that_only_reads(
    postgres: PostgresServer,
) -> None:
    from perdure.db.reading import Limits, open_reader

    name = postgres.new_database()
    postgres.sql("create table public.t (n int)", name)
    postgres.sql(
        "create function public.spend() returns int language sql as 'insert into public.t values (1) returning n'",
        name,
    )
    limits = Limits(rows=10, characters=1000, seconds=5)
    with pytest.raises(Exception, match="read-only transaction"):
        await open_reader(postgres.url(name)).rows("select public.spend()", {}, limits=limits, only=None)
    assert postgres.sql("select count(*) from public.t", name) == [(0,)]
    postgres.drop_database(name)


@pytest.mark.parametrize(
    ("dialect", "inner"),
    [
        ("sqlite", '(SELECT "id", "Name" AS "name" FROM "Customers") AS "c"'),
        ("postgres", '(SELECT "id", "Name" AS "name" FROM "public"."Customers") AS "c"'),
    ],
)
def test_each_table_is_a_subquery_of_its_listed_columns(dialect: Any, inner: str) -> None:
    from perdure.context.databases import admitted

    tables = {"Customers": ["id", "Name"]}
    made = admitted("select c.name from customers c -- hi", dialect=dialect, tables=tables)
    assert made == f'SELECT "c"."name" AS "name" FROM {inner}'


async def test_rows_characters_and_time_have_limits(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    many = "select o.total, p.total as other from orders o, orders p, orders q, orders r"
    # 3^20 rows, which a count must all look at
    endless = (
        "select count(*) from "
        + ", ".join(f"orders o{n}" for n in range(20))
        + " where o0.total + o19.total > 0"
    )
    app = made(database, monkeypatch, rows=5, most_output=100, timeout=0.3)
    rows, wide, slow = await asked(
        app, many, "select name, name as a, name as b from customers, orders", endless
    )
    assert len(rows["rows"]) == 5 and rows["more"]
    assert 0 < len(wide["rows"]) < 6 and wide["more"]
    assert slow.startswith("Refused: database `crm` did not answer in time")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"customer": "1 or 1=1", "since": "2026-01-01"}, "must be of type integer"),
        ({"customer": 1, "since": "yesterday"}, "is no date"),
        ({"customer": 1}, "`since`"),
        ({"customer": 1, "since": "2026-01-01", "sql": "drop table x"}, "sql"),
    ],
)
async def test_parameters_are_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], said: str
) -> None:
    with sqlite3.connect(tmp_path / "crm.db") as there:
        there.executescript(TABLES)
    there.close()
    (answer,) = await asked(made(f"sqlite:///{tmp_path / 'crm.db'}", monkeypatch), ("orders_of", arguments))
    assert answer.startswith("Refused: ") and said in answer


async def test_what_is_not_as_it_should_be_is_said(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = postgres.new_database()
    postgres.sql("create table public.customers (id int)", name)
    app = made(
        postgres.url(name), monkeypatch, tables={"customers": ["id", "nmae"], "order": "*"}, queries={}
    )
    said = await app.databases.warnings("crm")
    assert any("superuser" in line for line in said)
    assert "table `customers` has no column `nmae`" in said and any(
        "no table `order`" in line for line in said
    )
    await asked(app, "select id from customers")
    assert "its role is a superuser" in caplog.text
    postgres.drop_database(name)


async def test_settings_that_have_changed_are_not_what_a_run_was_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(tmp_path / "crm.db") as there:
        there.executescript(TABLES)
    there.close()
    app = made(f"sqlite:///{tmp_path / 'crm.db'}", monkeypatch)

    @app.agent("slow")
    async def slow(run: Run) -> str:
        tools = await app.databases.tools(run, "crm")
        app.databases.settings["crm"] = app.databases.settings["crm"].model_copy(
            update={"tables": {"orders": "*"}}
        )
        try:
            return str(await run.call(tools["query"], sql="select 1"))
        except Refused as refused:
            return str(refused)

    async with app:
        assert "is not what the run was offered" in await (await app.start("slow")).result()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"url": "postgresql://ann:hunter2@db/crm"}, "has a password in it"),
        ({"url": "mysql://db/crm"}, "must be `env:NAME`"),
        ({"tables": {}}, "nothing to ask it"),
        ({"queries": {"query": {"about": "x", "sql": "select 1"}}}, "there already"),
    ],
)
def test_settings_that_cannot_be_used(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        App("memory://", database={"crm": {"url": "sqlite:///crm.db", "tables": {"x": "*"}, **table}})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("url", ["postgresql://ann:hunter2@[db/crm", "mysql://ann:hunter2@db/crm"])
def test_a_url_that_cannot_be_used_is_not_said(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"the URL of `\[database.crm\]` is not") as raised:
        made(url, monkeypatch).databases.definitions("crm")
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"sql": "delete from orders"}, "is not one SELECT"),
        ({"sql": "select 1; select 2"}, "is not one SELECT"),
        ({"sql": "with x as (delete from orders returning 1) select * from x"}, "is not one SELECT"),
        ({"sql": "select :id"}, "`:id` is not among its `parameters`"),
        ({"sql": "select 1", "parameters": {"id": "integer"}}, "no `:id` stands in its SQL"),
        ({"sql": "select from from"}, "was not understood"),
    ],
)
def test_queries_that_cannot_be_used(query: dict[str, Any], said: str) -> None:
    app = App(
        "memory://", database={"crm": {"url": "sqlite:///crm.db", "queries": {"q": {"about": "x", **query}}}}
    )
    with pytest.raises(ConfigError, match=said):
        app.databases.definitions("crm")


def test_parameters_of_postgresql_are_numbered_and_nothing_else_is() -> None:
    from perdure.context.databases import numbered

    sql = "select ':a', x::text, '{\"a\": 1}'::jsonb from t where a = :a and b = :b or a > :a -- :a"
    made, order = numbered(sql, {"a": 1, "b": 2})
    assert made == "select ':a', x::text, '{\"a\": 1}'::jsonb from t where a = $1 and b = $2 or a > $1 -- :a"
    assert order == ["a", "b"]
