"""Connections to the database: how they are made and made anew, how errors are named, how the schema moves on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from ...core.errors import ConfigError, StoreError, StoreTooNew, StoreUnavailable
from . import arrays, queries

__all__ = [
    "OLDEST_SERVER",
    "PATIENCE_SECONDS",
    "Link",
    "Patience",
    "blockers",
    "check_schema",
    "check_server",
    "migrate",
    "missing",
    "named_errors",
    "newest_version",
    "retried",
    "scripts",
    "shown",
    "version_of",
]

T = TypeVar("T")

OLDEST_SERVER = 14
"""The first major version of PostgreSQL that is supported."""

PATIENCE_SECONDS = 5.0
"""How long a lost database is waited for before the work fails; less than a worker's lease."""

CONNECT_SECONDS = 10

SILENCE: Mapping[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}
"""When a server that says nothing any more counts as gone, where the URL does not say it: about 10 s. Otherwise a
connection that a firewall has forgotten is waited for until the kernel gives up, which takes a quarter of an hour."""

LOCK_SECONDS = 2
"""How long one try of a migration may hold others up."""

Row: TypeAlias = tuple[Any, ...]


def shown(url: str) -> str:
    """The URL as it may be shown: without its password and parameters. Raises `ConfigError` for what is no URL."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise ConfigError(
            f"the store's URL cannot be read ({str(error).strip()}): write `postgresql://USER@HOST/DATABASE`"
        ) from None
    host, user, port = parts.get("host") or "", parts.get("user"), parts.get("port")
    where = (f"{user}@" if user else "") + ("" if str(host).startswith("/") else str(host))
    return f"postgresql://{where}{f':{port}' if port else ''}/{parts.get('dbname') or ''}"


class Link:
    """A connection for one thread, made when it is first used and made anew when it was lost.

    It keeps nothing in the session (no prepared statements, no settings), so that it may pass through a transaction
    pooler. Errors are psycopg's own; `named_errors` gives them their names.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Row] | None = None

    @property
    def lost(self) -> bool:
        """Whether there is no connection that can be used."""
        return self._connection is None or self._connection.closed

    def get(self) -> psycopg.Connection[Row]:
        """The connection."""
        if self._connection is None or self._connection.closed:
            self.drop()
            given = conninfo_to_dict(self._url)
            made = psycopg.connect(
                self._url,
                **{name: value for name, value in SILENCE.items() if name not in given},
                autocommit=True,
                prepare_threshold=None,
                client_encoding="utf8",
                connect_timeout=CONNECT_SECONDS,
                application_name="perdure",
            )
            arrays.register(made)
            self._connection = made
        return self._connection

    def execute(
        self, sql: str, values: Mapping[str, Any] | Sequence[Any] | None = None
    ) -> psycopg.Cursor[Row]:
        """Run SQL; several statements at once where there are no values."""
        return self.get().execute(sql.encode(), values, binary=values is not None)

    def drop(self) -> None:
        """Let go of the connection; the next use makes a new one. What was not committed is rolled back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Patience:
    """Waits between tries, longer each time and never the same, until its time is over."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None
        self._pause = 0.02

    def rest(self) -> bool:
        """Wait for the next try; False if there is to be none."""
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._seconds
        if now >= self._until:
            return False
        time.sleep(random.uniform(0, self._pause))
        self._pause = min(self._pause * 2, 1.0)
        return True


def retried(link: Link, function: Callable[[Link], T], patience: Patience) -> T:
    """What only reads is tried again when the connection was lost."""
    while True:
        try:
            return function(link)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            if not link.lost or not patience.rest():
                raise


# the schema ----------------------------------------------------------------------------------------------------


def version_of(link: Link) -> int:
    """The schema's version; 0 for a database without one."""
    row = link.execute(queries.SERVER).fetchone()
    if row is None or not row[4]:
        return 0
    found = link.execute(queries.SCHEMA_VERSION).fetchone()
    return 0 if found is None else int(found[0])


def newest_version() -> int:
    """The schema version of this release."""
    return max(number for number, _ in scripts())


def check_server(link: Link, name: str) -> None:
    """Refuse a server or a database that cannot be used. Raises `ConfigError`."""
    with named_errors(name):
        row = link.execute(queries.SERVER).fetchone()
        assert row is not None
        number, version, encoding, durable, _ = row
        if number < OLDEST_SERVER * 10_000:
            raise ConfigError(f"`{name}` is PostgreSQL {version}; Perdure needs {OLDEST_SERVER} or newer")
        if encoding != "UTF8":
            raise ConfigError(f"`{name}` is encoded as {encoding}: make a database with `encoding 'UTF8'`")
        if durable == "off":
            raise ConfigError(
                f"`{name}` has `synchronous_commit = off` and would lose what it has acknowledged: run `alter database "
                "... set synchronous_commit = on`"
            )


def missing(link: Link, name: str) -> list[int]:
    """The migrations that a database still needs, all of them for an empty one. Raises `StoreTooNew`."""
    have, newest = version_of(link), newest_version()
    if have > newest:
        raise _too_new(name, have, newest)
    return [number for number, _ in scripts() if number > have]


def check_schema(link: Link, name: str) -> None:
    """Refuse a database that cannot be used; give an empty one its tables."""
    check_server(link, name)
    with named_errors(name):
        have = version_of(link)
        steps = missing(link, name)
        if have == 0:
            migrate(link, name)
        elif steps:
            raise StoreError(
                f"`{name}` has schema version {have}, this release needs {newest_version()}: run `perdure db migrate`"
            )


def migrate(
    link: Link, name: str, *, wait: float = 60.0, waiting: Callable[[str], None] = lambda who: None
) -> list[int]:
    """Bring the schema to this release's version, all steps in one transaction. Returns the steps taken.

    A statement that changes a table waits for everyone who uses it, and everyone who comes after waits for it. So it
    gives up its place in the queue after a moment and tries again, and workers go on in between.

    Waits `wait` seconds in all for others' locks, and tells `waiting` who holds them; then raises `StoreUnavailable`.
    """
    patience = Patience(wait)
    began = time.monotonic()
    while True:
        with named_errors(name):
            try:
                return _migrate_once(link, name)
            except (errors.LockNotAvailable, errors.DeadlockDetected):
                who = ", ".join(blockers(link)) or "somebody who has just left"
                waiting(who)
                if not patience.rest():
                    raise StoreUnavailable(
                        f"`{name}` could not be migrated in {time.monotonic() - began:.0f} s, nothing was changed: its "
                        f"tables are held by {who}; end what holds them, and run `perdure db migrate` again"
                    ) from None


def blockers(link: Link) -> list[str]:
    """Who holds locks on the tables, in words, the longest transaction first."""
    return [
        f"process {pid} of `{user}` ({application}, {state}, for {seconds or 0} s)"
        for pid, user, application, state, seconds in link.execute(queries.BLOCKERS).fetchall()
    ]


def _migrate_once(link: Link, name: str) -> list[int]:
    try:
        link.execute(f"begin isolation level read committed; set local lock_timeout = '{LOCK_SECONDS}s'")
        link.execute(queries.SCHEMA_LOCK)
        taken = missing(link, name)  # read under the lock: another may have been first
        if version_of(link) == 0:
            link.execute(queries.SCHEMA_BEGIN)
        for number, script in scripts():
            if number in taken:
                link.execute(script)
        if taken:
            link.execute(queries.SCHEMA_CLEAR)
            link.execute(queries.SCHEMA_SET, (newest_version(),))
        link.execute("commit")
    except BaseException:
        link.drop()
        raise
    return taken


def _too_new(name: str, have: int, newest: int) -> StoreTooNew:
    return StoreTooNew(
        f"`{name}` has schema version {have}, this release knows {newest}; it was written by a newer Perdure: "
        "upgrade this one"
    )


def scripts() -> list[tuple[int, str]]:
    """The migrations, in order."""
    folder = resources.files("perdure.db.postgres") / "migrations"
    found = [(int(Path(f.name).stem), f.read_text()) for f in folder.iterdir() if f.name.endswith(".sql")]
    return sorted(found)


# errors --------------------------------------------------------------------------------------------------------


@contextmanager
def named_errors(name: str) -> Generator[None]:
    """Turn psycopg's errors into ours, with what to do next."""
    try:
        yield
    except (errors.InvalidPassword, errors.InvalidAuthorizationSpecification) as error:
        raise StoreUnavailable(f"`{name}` refuses this user: {_line(error)}") from error
    except errors.DiskFull as error:
        raise StoreUnavailable(
            f"no room left to write `{name}`; nothing acknowledged was lost. Free some space: work goes on by itself"
        ) from error
    except errors.ReadOnlySqlTransaction as error:
        raise StoreUnavailable(f"`{name}` takes no writes (a standby?): name the primary") from error
    except errors.InsufficientPrivilege as error:
        raise StoreError(
            f"`{name}`: {_line(error)}; grant this role what Perdure needs, or let the schema's owner run "
            "`perdure db migrate`"
        ) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise StoreUnavailable(
            f"`{name}` cannot be reached or used: {_line(error)}; nothing acknowledged was lost"
        ) from error
    except psycopg.Error as error:
        raise StoreError(f"`{name}`: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
