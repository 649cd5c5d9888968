"""What is asked of a database that agents may read; its implementations stand beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ...context.databases import Column, DatabaseResult, Dialect
from ...core.errors import ConfigError

__all__ = ["Allowed", "Limits", "Reader", "open_reader"]

Allowed = Mapping[str, Sequence[str] | Literal["*"]]
"""Columns by table; `*`: all that it has"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one query."""

    rows: int
    characters: int
    seconds: float


class Reader(Protocol):
    """Opens a connection of its own for each question, which can only read, and closes it."""

    dialect: Dialect

    async def tables(self, allowed: Allowed, *, seconds: float) -> dict[str, list[Column]]:
        """Those of the listed columns that are there, by table. A table that is not there is left out."""
        ...

    async def rows(
        self, sql: str, values: Mapping[str, Any], *, limits: Limits, only: Mapping[str, Sequence[str]] | None
    ) -> DatabaseResult:
        """What one query gives, up to its limits.

        `only`: the columns that it may read by table, where the database can see to that itself; None: it was written
        by somebody who may read everything. Raises `TimeoutError`, and the driver's errors.
        """
        ...

    async def warnings(self, *, seconds: float) -> list[str]:
        """What the account that is used here could do beside reading."""
        ...


def open_reader(url: str, *, functions: Sequence[str] = ()) -> Reader:
    """By its URL, `sqlite:///PATH` or `postgresql://...`. Raises `ConfigError`; nothing is opened yet."""
    if url.startswith("sqlite:///"):
        from .sqlite import SqliteReader

        return SqliteReader(url.removeprefix("sqlite:///"), functions=functions)
    if url.startswith(("postgresql://", "postgres://")):
        try:
            from .postgres import PostgresReader
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "psycopg":
                raise
            raise ConfigError('PostgreSQL needs psycopg: `pip install "perdure[postgres]"`') from None
        return PostgresReader(url)
    # never the URL: it comes from where secrets are kept
    raise ConfigError("is not a URL of a database that can be read: `sqlite:///PATH` or `postgresql://...`")
