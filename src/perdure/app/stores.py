"""Which backend stands behind a URL, and that every store seals what is to be sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..core.clock import Clock
from ..core.errors import ConfigError
from ..core.identity_settings import IdentitySettings
from ..core.settings import shown_url
from ..journal import Store

if TYPE_CHECKING:
    from ..identity import MasterKeys

__all__ = ["open_store", "sealing"]


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


class _Configured(Protocol):
    """Who knows where the master key is."""

    identity_settings: IdentitySettings


def sealing(store: Store, app: _Configured) -> Store:
    """The store, with data subjects' payloads sealed; one that seals already is left as it is.

    The master key is looked for when the first of them is met, where the app's settings say by then.
    """
    if getattr(store, "seals", False):
        return store
    from ..db.sealed import sealed

    return sealed(store, lambda: _master_keys(app.identity_settings))


def _master_keys(settings: IdentitySettings) -> MasterKeys:
    try:
        from ..identity import MasterKeys
    except ModuleNotFoundError as error:
        raise ConfigError(f'it needs `{error.name}`: `pip install "perdure[identity]"`') from None
    return MasterKeys.open(settings.master_key)
