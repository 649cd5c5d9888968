"""Knowledge stays fast however much there is: its statements in SQLite walk the indexes for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure.db import knowledge as statements
from perdure.db.sqlite.connection import connect, migrate
from perdure.db.sqlite.knowledge import DIRECTIONS, WALK, in_sqlite

OF_ONE = f"{statements.FACTS} and f.subject = ?{statements.FACTS_END}"


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (statements.DONE, "knowledge_writes_key (realm=? AND key=?)"),
        (statements.WRITES, "knowledge_writes USING INTEGER PRIMARY KEY (rowid=?)"),
        (statements.LOG, "knowledge_writes_realm (realm=? AND rowid>?)"),
        (statements.ENTITIES, "knowledge_entities USING INTEGER PRIMARY KEY (rowid=?)"),
        (statements.MEMBERS, "knowledge_entities_became (became=?)"),
        (statements.NAMED, "knowledge_names_same (realm=? AND kind=? AND same=?)"),
        (statements.NAMES, "knowledge_names_entity (entity=?)"),
        (statements.NEAR, "PRIMARY KEY (realm=? AND kind=? AND block=?)"),
        (OF_ONE, "knowledge_facts_subject (subject=? AND rowid>?)"),
        (statements.GROUP, "knowledge_facts_says (subject=? AND relation=?)"),
        (statements.ALIKE, "knowledge_facts_says (subject=? AND relation=? AND object=? AND digest=?)"),
        (statements.VERSIONS, "knowledge_facts_versions (fact=?)"),
        (statements.MOVE_OBJECTS, "knowledge_facts_object (object=?)"),
        *(
            (WALK.format(to=to, along=along, known="f.until = 5", of=""), "knowledge_facts_")
            for to, along in DIRECTIONS.values()
        ),
    ],
)
def test_of_sqlite(tmp_path: Path, sql: str, index: str) -> None:
    connection = connect(str(tmp_path / "store.db"))
    migrate(connection, "store")
    here = in_sqlite(sql)
    rows = connection.execute(f"explain query plan {here}", [1] * here.count("?")).fetchall()
    plan = " / ".join(row[3] for row in rows)
    assert index in plan, plan
    assert "SCAN knowledge" not in plan and "SCAN f" not in plan
    connection.close()
