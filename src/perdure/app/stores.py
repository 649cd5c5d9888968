"""Which backend is behind a store's URL."""

from __future__ import annotations

from ..core.clock import Clock
from ..core.errors import ConfigError
from ..core.settings import shown_url
from ..journal import Store

__all__ = ["open_store"]


def open_store(url: str, *, clock: Clock | None = None) -> Store:
    """The store behind a URL (`sqlite:///PATH`, `postgresql://...` or `memory://`), not yet opened.

    Raises `ConfigError`.
    """
    if url.startswith("sqlite:///"):
        from ..db.sqlite import SqliteStore

        return SqliteStore(url, clock=clock)
    if url == "memory://":
        from ..db.memory import MemoryStore

        return MemoryStore(clock)
    if url.startswith(("postgresql://", "postgres://")):
        try:
            from ..db.postgres import PostgresStore
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "psycopg":
                raise
            raise ConfigError('a PostgreSQL store needs psycopg: `pip install "perdure[postgres]"`') from None
        return PostgresStore(url, clock=clock)
    raise ConfigError(
        f"store `{shown_url(url)}` is not one that can be used: write `sqlite:///PATH`, "
        "`postgresql://USER@HOST/DATABASE` or `memory://`"
    )
