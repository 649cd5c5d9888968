"""The operator's side of a PostgreSQL store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...core.errors import ConfigError, StoreError
from ...journal import Cell
from ..maintenance import SessionInfo, StoreInfo
from ..restored import ORIGIN, told_of
from . import operations as sql
from . import origin
from .connection import Link, check_server, migrate, missing, named_errors, newest_version, shown, version_of

__all__ = ["PostgresMaintenance"]


class PostgresMaintenance:
    """Looks at the schema `perdure` of a database, migrates it, and grants what a worker needs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = shown(url)
        self._link = Link(url)

    def exists(self) -> bool:
        """Whether the database has the schema."""
        return self.versions()[0] > 0

    def versions(self) -> tuple[int, int]:
        """The schema's version (0: none yet), and the newest that this release knows."""
        with named_errors(self.name):
            return version_of(self._link), newest_version()

    def info(self) -> StoreInfo:
        """Look at the store as a whole."""
        have, newest = self.versions()
        with named_errors(self.name):
            row = self._link.execute(sql.ABOUT).fetchone()
            assert row is not None
            server, now, role, database, connections, most = row
            notes = {
                "role": role,
                "database": database,
                "connections": f"{connections} of Perdure, {most} allowed",
            }
            if have == 0:
                return StoreInfo(
                    kind="postgresql", server=server, schema=0, newest=newest, now=now, notes=notes
                )
            totals = self._link.execute(sql.TOTALS).fetchone()
            assert totals is not None
            entries, waiting, due, blobs, size, dead = totals
            return StoreInfo(
                kind="postgresql",
                server=server,
                schema=have,
                newest=newest,
                now=now,
                runs={row[0]: row[1] for row in self._link.execute(sql.RUNS).fetchall()},
                entries=int(entries),
                blobs=blobs,
                bytes=int(size),
                waiting_since=waiting,
                due_since=due,
                sessions=[
                    SessionInfo(id=row[0], label=row[1], expires=row[2], runs=row[3])
                    for row in self._link.execute(sql.SESSIONS).fetchall()
                ],
                notes=notes | {"dead rows": f"{dead} in `runs`"},
            )

    def faults(self, *, quick: bool = False) -> list[str]:
        """Settings that lose what was acknowledged, tables and grants that are missing, indexes that are not valid."""
        found: list[str] = []
        try:
            check_server(self._link, self.name)
        except ConfigError as error:
            found.append(str(error))
        with named_errors(self.name):
            found += [f"index `{row[0]}` is not valid: `reindex`" for row in self._link.execute(sql.INVALID)]
            for table, rights in self._link.execute(sql.RIGHTS).fetchall():
                found.append(f"this role has no right to {rights} `perdure.{table}`")
        return found

    def pending(self) -> list[int]:
        """The migrations that are missing."""
        with named_errors(self.name):
            return missing(self._link, self.name)

    def migrate(self, *, wait: float = 60.0, waiting: Callable[[str], None] = lambda who: None) -> list[int]:
        """Bring the schema to this release's version, all steps in one transaction."""
        return migrate(self._link, self.name, wait=wait, waiting=waiting)

    def grant(self, role: str) -> None:
        """Give a role what a worker needs."""
        with named_errors(self.name):
            if not self._link.execute(sql.ROLE_EXISTS, {"role": role}).fetchone():
                raise ConfigError(f"`{self.name}` has no role `{role}`: run `create role {role} login`")
            if version_of(self._link) == 0:
                raise StoreError(f"`{self.name}` has no tables yet: run `perdure db migrate`")
            quoted = self._link.execute("select quote_ident(%s)", (role,)).fetchone()
            assert quoted is not None
            self._link.execute(sql.GRANT.format(role=quoted[0]))

    def scrub(self) -> str:
        """Write the table of the keys anew, where this role owns it. What the log and backups hold is not in reach."""
        with named_errors(self.name):
            owns = self._link.execute(sql.OWNS_CELLS).fetchone()
            if owns is not None and owns[0]:
                self._link.execute(sql.REWRITE_CELLS)
                rows = ""
            else:
                rows = "rows that were deleted, until their tables are vacuumed by whoever owns them; "
        return (
            f"{rows}its write-ahead log, archives, replicas and backups, until they are recycled: they hold the key as "
            "the master key has wrapped it"
        )

    def backup(self, target: Path, *, seen: Callable[[int, int], None] = lambda done, of: None) -> None:
        """A server has tools of its own for that."""
        raise ConfigError(
            f"`{self.name}` is no file: back it up with `pg_dump --format=custom --schema=perdure`, or with base "
            "backups and an archive; docs/recovery.md has the whole way, and back"
        )

    def restored(self) -> str | None:
        """The database that its workers left, where this is another."""
        with named_errors(self.name):
            row = self._link.execute(origin.KEPT, ORIGIN._asdict()).fetchone()
            was = None if row is None else told_of(Cell(bytes(row[0])))
            return None if was is None or was == origin.origin_of(self._link) else was

    def adopt(self) -> None:
        """This database is the store."""
        with named_errors(self.name):
            origin.keep_origin(self._link, origin.origin_of(self._link))

    def close(self) -> None:
        """Let go of the connection."""
        self._link.drop()
