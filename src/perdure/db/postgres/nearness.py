"""How near vectors are, in PostgreSQL: by the extension `pgvector`, where somebody has said `create extension vector`.

The vectors stand in `perdure.working_vectors`, as bytes. Where the extension is, they stand in a table for each number
of dimensions too, with an index (HNSW): made when the first is written there, and filled with those from before.
"""

from __future__ import annotations

from typing import NamedTuple

from psycopg import errors

from ...core.errors import StoreError
from ...memory.working.vectors import unpacked
from .arrays import Ints, Texts
from .connection import Link

__all__ = ["Near", "has_extension", "near_table", "place", "written"]

EXTENSION = """
    select n.nspname, string_to_array(e.extversion, '.')::int[],
        coalesce(has_table_privilege(to_regclass(%(table)s), 'select, insert'), false)
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector'
"""
LOCK = "select pg_advisory_xact_lock(1348825703, %(dimensions)s::int)"
MAKE = """
    create table if not exists perdure.{table} (
        n      bigint primary key references perdure.working_items on delete cascade,
        space  bigint not null,
        model  bigint not null,
        vector {type} not null
    );
    create index if not exists {table}_space on perdure.{table} (space, model);
    create index if not exists {table}_near on perdure.{table} using hnsw (vector {ops})
"""
UNPLACED = """
    select n, space, model, vector from perdure.working_vectors v
    where n > %(after)s and length(vector) = %(bytes)s order by n limit 500
"""
PUT = """
    insert into perdure.{table} (n, space, model, vector)
    select n, space, model, vector::{type}
    from unnest(%(n)s::bigint[], %(space)s::bigint[], %(model)s::bigint[], %(vector)s::text[])
        as v (n, space, model, vector)
    on conflict do nothing
"""
MOST_PLAIN = 2000
"""Dimensions that an index takes as numbers of 4 bytes; of 2 bytes twice as many."""

Vector = tuple[int, int, int, bytes]
"""The item's number, its space's, its model's, and the vector."""


class Near(NamedTuple):
    """A table of vectors that can be searched."""

    table: str
    type: str
    distance: str
    """the operator"""
    filtered: bool
    """its index goes on until there are enough that pass a filter (pgvector 0.8)"""


def has_extension(link: Link) -> bool:
    """Whether pgvector is in this database."""
    return link.execute(EXTENSION, {"table": "perdure.working_items"}).fetchone() is not None


def near_table(link: Link, dimensions: int) -> Near | None:
    """The table for vectors of so many dimensions; None: there is none."""
    near, there = _near(link, dimensions)
    return near if there else None


def place(link: Link, vectors: list[Vector]) -> None:
    """Put vectors, all of one length, where they can be searched. Without the extension that is nowhere.

    Nor where this role may make no table: then somebody who may has to write one first, as `perdure doctor` says.
    """
    link.execute("savepoint near")
    try:
        _place(link, vectors)
    except errors.InsufficientPrivilege:
        link.execute("rollback to savepoint near")
    link.execute("release savepoint near")


def _place(link: Link, vectors: list[Vector]) -> None:
    dimensions = len(vectors[0][3]) // 4
    near, there = _near(link, dimensions)
    if near is None:
        return
    if not there:
        link.execute(LOCK, {"dimensions": dimensions})
        schema = near.type.partition(".")[0]
        ops = f"{schema}.{'vector' if dimensions <= MOST_PLAIN else 'halfvec'}_cosine_ops"
        link.execute(MAKE.format(table=near.table, type=near.type, ops=ops))
        after = 0
        while before := link.execute(UNPLACED, {"after": after, "bytes": dimensions * 4}).fetchall():
            _put(link, near, [(n, space, model, bytes(vector)) for n, space, model, vector in before])
            after = before[-1][0]
    _put(link, near, vectors)


def _near(link: Link, dimensions: int) -> tuple[Near | None, bool]:
    """Where vectors of so many dimensions are, and whether that is made; None: without the extension nowhere."""
    table = f"working_near_{dimensions}"
    row = link.execute(EXTENSION, {"table": f"perdure.{table}"}).fetchone()
    if row is None:
        return None, False
    schema, version, there = row
    if not schema.replace("_", "a").isalnum():
        raise StoreError(
            f"pgvector is in schema `{schema}`, whose name cannot be written: move the extension"
        )
    plain = dimensions <= MOST_PLAIN
    near = Near(
        table=table,
        type=f"{schema}.{'vector' if plain else 'halfvec'}({dimensions})",
        distance=f"operator({schema}.<=>)",
        filtered=tuple(version[:2]) >= (0, 8),
    )
    return near, there


def _put(link: Link, near: Near, vectors: list[Vector]) -> None:
    values = {
        "n": Ints([v[0] for v in vectors]),
        "space": Ints([v[1] for v in vectors]),
        "model": Ints([v[2] for v in vectors]),
        "vector": Texts([written(v[3]) for v in vectors]),
    }
    link.execute(PUT.format(table=near.table, type=near.type), values)


def written(vector: bytes) -> str:
    """As the extension reads it."""
    return f"[{','.join(map(repr, unpacked(vector)))}]"
