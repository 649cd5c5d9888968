"""Connections to the file: how they are opened, what is refused, how errors are named, how the schema moves on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Protocol, cast

import apsw

from ...core.errors import StoreCorrupt, StoreError, StoreMoved, StoreTooNew, StoreUnavailable
from . import queries

__all__ = [
    "APPLICATION_ID",
    "Connection",
    "Cursor",
    "Row",
    "connect",
    "migrate",
    "moved_message",
    "moved_to",
    "named_errors",
    "newest_version",
    "refuse_moved",
    "version_of",
]

APPLICATION_ID = 0x50657264
"""`Perd`, in the file's header: another program's database is not written to."""

BUSY_SECONDS = 30.0

Row = tuple[Any, ...]


class Cursor(Protocol):
    """What is used of a cursor of `apsw` (whose own annotations need a later Python than 3.11)."""

    @property
    def get(self) -> Any:
        """The only column of the only row; None where there is none."""
        ...

    def fetchone(self) -> Row | None:
        """The next row."""
        ...

    def fetchall(self) -> list[Row]:
        """All rows left."""
        ...

    def __iter__(self) -> Iterator[Row]: ...


class Connection(Protocol):
    """What is used of a connection of `apsw`."""

    def execute(self, statements: str, bindings: Any = None) -> Cursor:
        """Run SQL."""
        ...

    def changes(self) -> int:
        """Rows changed by the last statement."""
        ...

    def pragma(self, name: str, value: Any = None) -> Any:
        """Read or set a pragma."""
        ...

    def get_autocommit(self) -> bool:
        """Whether no transaction is open."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...

    def create_scalar_function(
        self, name: str, callable: Callable[..., Any], numargs: int, *, deterministic: bool
    ) -> None:
        """Let SQL call a function."""
        ...

    def enable_load_extension(self, enable: bool) -> None:
        """Whether extensions may be loaded."""
        ...

    def load_extension(self, filename: str) -> None:
        """Load one."""
        ...


def connect(path: str, *, read_only: bool = False, cache_kilobytes: int = 2048) -> Connection:
    """Open the file for use by one thread. Raises `StoreError` with what to do."""
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    with named_errors(path):
        opened = apsw.Connection(path, flags=flags, statementcachesize=256)
        opened.set_busy_handler(_wait_for_lock)
        connection = cast(Connection, opened)
        if not read_only:
            # The page size and the journal mode stick to the file; the others belong to the connection. FULL: in WAL
            # mode NORMAL loses acknowledged commits when the power goes.
            connection.execute("pragma page_size = 8192")
            _check_application(connection, path)
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            connection.execute("pragma wal_autocheckpoint = 4000")
        connection.execute(f"pragma cache_size = -{cache_kilobytes}")
    return connection


def version_of(connection: Connection) -> int:
    """The schema's version; 0 for a new file."""
    return int(connection.pragma("user_version"))


def newest_version() -> int:
    """The schema version of this release."""
    return max(number for number, _ in _migrations())


def migrate(connection: Connection, path: str) -> list[int]:
    """Bring the schema to this release's version, one transaction a step. Returns the steps taken.

    A new file gets all of them in one: to whoever opens it meanwhile it must not look like one of an older release.
    """
    taken: list[int] = []
    with named_errors(path):
        refuse_newer(connection, path)
        steps = list(_migrations())
        for transaction in [steps] if version_of(connection) == 0 else [[step] for step in steps]:
            connection.execute("begin immediate")
            try:
                for number, script in transaction:
                    # Read inside the lock: another process may have been first.
                    if version_of(connection) < number:
                        connection.execute(script)
                        connection.pragma("application_id", APPLICATION_ID)
                        connection.pragma("user_version", number)
                        taken.append(number)
                connection.execute("commit")
            except BaseException:
                connection.execute("rollback")
                raise
    return taken


def refuse_newer(connection: Connection, path: str) -> None:
    """Raise `StoreTooNew` if the schema is of a later release."""
    have, newest = version_of(connection), newest_version()
    if have > newest:
        raise StoreTooNew(
            f"`{path}` has schema version {have}, this release knows {newest}; it was written by a newer Perdure: "
            "upgrade this one"
        )


def moved_to(connection: Connection) -> str | None:
    """Where the store has moved to, if it has."""
    there = connection.execute("select count(*) from sqlite_schema where name = 'moved'").get
    return connection.execute(queries.MOVED).get if there else None


def refuse_moved(connection: Connection, path: str) -> None:
    """Raise `StoreMoved` if the store's runs are elsewhere now."""
    url = moved_to(connection)
    if url is not None:
        raise StoreMoved(moved_message(path, url))


def moved_message(path: str, url: str) -> str:
    """What is said to whoever wants to go on with a store that has moved."""
    return (
        f"the store `{path}` has moved to `{url}`: name that one (`--store`, PERDURE_STORE or perdure.toml). If its "
        "copy was interrupted, run `perdure db copy` again; `perdure db unmove` lets work go on here"
    )


@contextmanager
def named_errors(path: str) -> Generator[None]:
    """Turn SQLite's errors into ours, with what to do next."""
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise StoreCorrupt(
            f"`{path}` is not a readable SQLite database ({error}); nothing was written. Restore it from a backup, or "
            "name another file"
        ) from error
    except apsw.FullError as error:
        raise StoreUnavailable(
            f"no room left to write `{path}`; nothing acknowledged was lost. Free some space: work goes on by itself"
        ) from error
    except apsw.BusyError as error:
        raise StoreUnavailable(
            f"`{path}` stayed locked by another process for {BUSY_SECONDS:.0f} s"
        ) from error
    except apsw.CantOpenError as error:
        raise StoreUnavailable(
            f"`{path}` cannot be opened: does its folder exist, and may you write there?"
        ) from error
    except apsw.IOError as error:
        if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHORT_READ:
            raise StoreCorrupt(
                f"`{path}` is shorter than it was ({error}); nothing was written. Restore it from a backup"
            ) from error
        raise StoreUnavailable(f"`{path}` cannot be read or written: {error}") from error
    except (apsw.ReadOnlyError, apsw.PermissionsError) as error:
        raise StoreUnavailable(f"`{path}` cannot be read or written: {error}") from error
    except apsw.Error as error:
        raise StoreError(f"`{path}`: {error}") from error


def _wait_for_lock(tries: int) -> bool:
    # Short random waits: SQLite's own back-off reaches 100 ms, and starves whoever has waited longest.
    time.sleep(random.uniform(0.0005, 0.005))
    return tries * 0.003 < BUSY_SECONDS


def _check_application(connection: Connection, path: str) -> None:
    application = connection.pragma("application_id")
    tables = connection.execute("select count(*) from sqlite_schema").get
    if application != APPLICATION_ID and tables:
        raise StoreCorrupt(f"`{path}` is a database of another program; name another file for Perdure")


def _migrations() -> list[tuple[int, str]]:
    folder = resources.files("perdure.db.sqlite") / "migrations"
    found = [(int(Path(f.name).stem), f.read_text()) for f in folder.iterdir() if f.name.endswith(".sql")]
    return sorted(found)
