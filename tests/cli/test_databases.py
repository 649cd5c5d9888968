"""`databases check`: what agents are offered of a database, and what is not as it should be."""

from __future__ import annotations

import sqlite3

from .conftest import Cli

SETTINGS = """
[database.crm]
url = "sqlite:///crm.db"
tables = { customers = ["id", "name"] }

[database.crm.queries.all]
about = "All customers."
sql = "select name from customers"
"""


def test_a_database_is_looked_at(cli: Cli) -> None:
    with sqlite3.connect(cli.folder / "crm.db") as made:
        made.execute("create table customers (id integer, name text)")
    made.close()
    (cli.folder / "perdure.toml").write_text(SETTINGS)
    cli.begin("asks", "r")  # there is a store

    told = cli("databases", "check", "crm", "--json")
    assert told.code == 0 and told.json["warnings"] == []
    assert [tool["tool"] for tool in told.json["tools"]] == ["schema", "query", "all"]

    checks = {c["check"]: c for c in cli("doctor", "--runs", "0", "--json").json["checks"]}
    assert (checks["database"]["state"], checks["database"]["found"]) == (
        "ok",
        "`crm` can be read, and no more",
    )

    (cli.folder / "perdure.toml").write_text(SETTINGS.replace('"name"', '"nmae"'))
    shown = cli("databases", "check", "crm")
    assert shown.code == 1 and "table `customers` has no column `nmae`" in shown.stdout
