"""What a database answered, within limits."""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

import pydantic_core
from pydantic import BaseModel, ConfigDict

__all__ = ["Answer", "Column", "DatabaseResult", "TableTold"]

_LONGEST_VALUE = 10_000


class Column(BaseModel):
    """A column that may be read."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: str
    nullable: bool = True


class TableTold(BaseModel):
    """A table that may be read."""

    model_config = ConfigDict(frozen=True)

    name: str
    columns: list[Column]


class DatabaseResult(BaseModel):
    """The rows that a query gave."""

    model_config = ConfigDict(frozen=True)

    columns: list[str]
    rows: list[list[Any]]
    more: bool = False
    """there are more rows: ask for fewer, or for their number"""
    cut: int = 0
    """characters of long values that are not here"""


class Answer:
    """Takes rows as they come, until there are enough."""

    def __init__(self, columns: Sequence[str], *, rows: int, most: int) -> None:
        self._columns = list(columns)
        self._most_rows, self._room = rows, most
        self._rows: list[list[Any]] = []
        self._more = False
        self._cut = 0

    def take(self, row: Sequence[Any]) -> bool:
        """Add a row; False where there is no room for it, and none after it need come."""
        if len(self._rows) >= self._most_rows:
            self._more = True
            return False
        told = [self._plain(value) for value in row]
        size = len(pydantic_core.to_json(told))
        if size > self._room:
            self._more = True
            return False
        self._room -= size
        self._rows.append(told)
        return True

    @property
    def result(self) -> DatabaseResult:
        """What there is."""
        return DatabaseResult(columns=self._columns, rows=self._rows, more=self._more, cut=self._cut)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._short(value)
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return self._short(base64.b64encode(bytes(cast("bytes", value))).decode())
        if isinstance(value, dt.datetime | dt.date | dt.time):
            return value.isoformat()
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, Decimal):
            return str(value)
        if isinstance(value, list | dict):
            text = pydantic_core.to_json(value, serialize_unknown=True).decode()
            return cast("Any", value) if len(text) <= _LONGEST_VALUE else self._short(text)
        return self._short(str(value))

    def _short(self, text: str) -> str:
        if len(text) <= _LONGEST_VALUE:
            return text
        self._cut += len(text) - _LONGEST_VALUE
        return text[:_LONGEST_VALUE]
