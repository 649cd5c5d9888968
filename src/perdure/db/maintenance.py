"""What an operator does with a store as a whole: the port behind `perdure db`.

Its calls block and need no event loop. None but `migrate` makes or changes a store's schema, so that looking at a store
of another version is safe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..core.errors import ConfigError

__all__ = ["Maintenance", "SessionInfo", "StoreInfo", "maintenance_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """A worker's registration. Times are microseconds."""

    id: str
    label: str
    """host and pid"""
    expires: int
    runs: int
    """claimed by it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """A store as a whole. Times are microseconds since the Unix epoch, on the store's own clock."""

    kind: str
    """`sqlite` or `postgresql`"""
    server: str
    """version of SQLite or of the PostgreSQL server"""
    schema: int
    newest: int
    """the schema version of this release"""
    now: int
    runs: Mapping[str, int] = field(default_factory=dict[str, int])
    """by status"""
    entries: int = 0
    """the heads of all runs, added up"""
    blobs: int = 0
    bytes: int = 0
    """on disk, indexes included"""
    waiting_since: int | None = None
    """when the run that waits longest began to"""
    due_since: int | None = None
    """when the run that is due longest fell due"""
    sessions: Sequence[SessionInfo] = ()
    moved: str | None = None
    """where the store has moved to"""
    notes: Mapping[str, str] = field(default_factory=dict[str, str])
    """what else this kind of store has to say, by name"""


class Maintenance(Protocol):
    """A store, seen by its operator. Every call raises `StoreError` and `ConfigError` with what to do."""

    url: str
    name: str
    """for people: a path, or a URL without password and parameters"""

    def exists(self) -> bool:
        """Whether there is a store: with a schema of any version."""
        ...

    def versions(self) -> tuple[int, int]:
        """The schema's version (0: none yet), and the newest that this release knows."""
        ...

    def info(self) -> StoreInfo:
        """Look at the store as a whole; at a schema of any version that this release knows."""
        ...

    def faults(self, *, quick: bool = False) -> list[str]:
        """What the database itself finds wrong; `quick`: without reading all of it. The journals are not looked at."""
        ...

    def pending(self) -> list[int]:
        """The migrations that `migrate` would run. Raises `StoreTooNew`."""
        ...

    def migrate(self, *, wait: float = 60.0, waiting: Callable[[str], None] = lambda who: None) -> list[int]:
        """Bring the schema to this release's version. Returns the steps taken.

        `wait` seconds for locks that others hold; `waiting` is told who. Raises `StoreUnavailable` that names them.
        """
        ...

    def grant(self, role: str) -> None:
        """Give a role what a worker needs, and no more. Raises `ConfigError` where the store has no roles."""
        ...

    def scrub(self) -> str:
        """See to it that what was deleted is gone from the medium, too, as far as the database can.

        What it may still hold, and until when; empty: nothing. It may take long, and others wait meanwhile.
        """
        ...

    def backup(self, target: Path, *, seen: Callable[[int, int], None] = lambda done, of: None) -> None:
        """Copy the store to a new file, while others work on it; the copy knows that it is one.

        `seen` is told pages done, and all. Raises `ConfigError` where the file is there, or the store is no file.
        """
        ...

    def restored(self) -> str | None:
        """What the store was when its workers left it, where it is not that any more: `StoreRestored` for workers."""
        ...

    def adopt(self) -> None:
        """What the store is now is what it is: workers may begin."""
        ...

    def close(self) -> None:
        """Let go. Idempotent."""
        ...


def maintenance_of(url: str) -> Maintenance:
    """The operator's side of the store at `url`. Connects to nothing yet. Raises `ConfigError`."""
    if url.startswith("sqlite:///"):
        from .sqlite.maintenance import SqliteMaintenance

        return SqliteMaintenance(url)
    if url.startswith(("postgresql://", "postgres://")):
        try:
            from .postgres.maintenance import PostgresMaintenance
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "psycopg":
                raise
            raise ConfigError('a PostgreSQL store needs psycopg: `pip install "perdure[postgres]"`') from None
        return PostgresMaintenance(url)
    if url == "memory://":
        raise ConfigError(
            "a `memory://` store lives and dies with its process: there is nothing to look at from here"
        )
    from ..core.settings import shown_url

    raise ConfigError(
        f"store `{shown_url(url)}` is not one that can be used: write `sqlite:///PATH` or "
        "`postgresql://USER@HOST/DATABASE`"
    )
