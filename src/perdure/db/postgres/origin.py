"""Where a PostgreSQL store lives: what tells its database from a copy that was restored, or a standby after it."""

from __future__ import annotations

from ...journal import Cell
from ..restored import ORIGIN, origin_cell, told_of
from .connection import Link

__all__ = ["keep_origin", "kept_origin", "origin_of"]

# A base backup and a promotion begin a new timeline, another cluster has another identifier; a dump that was restored
# made its schema anew, with another oid.
ORIGIN_OF = """
    select {cluster} || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
        || '/' || (select oid from pg_database where datname = current_database())
        || '/' || (select oid from pg_namespace where nspname = 'perdure')
"""
CLUSTER = "(select system_identifier from pg_control_system())"
# Where a role may not look at it. A case in one statement does not help: rights are checked before it runs.
MAY_LOOK = "select has_function_privilege('pg_control_system()', 'execute')"
KEEP = """
    insert into perdure.cells (tenant, kind, name, data) values (%(tenant)s, %(kind)s, %(name)s, %(data)s)
    on conflict (tenant, kind, name) do {otherwise}
"""
KEPT = "select data from perdure.cells where tenant = %(tenant)s and kind = %(kind)s and name = %(name)s"


def origin_of(link: Link) -> str:
    """The database that this is, in the middle of its life."""
    row = link.execute(MAY_LOOK).fetchone()
    cluster = CLUSTER if row is not None and row[0] else "'-'"
    row = link.execute(ORIGIN_OF.format(cluster=cluster)).fetchone()
    assert row is not None
    return str(row[0])


def kept_origin(link: Link, now: str) -> str:
    """What the first worker saw, which is `now` for the first one."""
    link.execute(KEEP.format(otherwise="nothing"), {**ORIGIN._asdict(), "data": origin_cell(now).data})
    row = link.execute(KEPT, ORIGIN._asdict()).fetchone()
    return "" if row is None else told_of(Cell(bytes(row[0])))


def keep_origin(link: Link, now: str) -> None:
    """From here on the store lives here."""
    values = {**ORIGIN._asdict(), "data": origin_cell(now).data}
    link.execute(KEEP.format(otherwise="update set data = excluded.data"), values)
