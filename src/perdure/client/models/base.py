"""What the models of all nouns share."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, JsonValue

__all__ = ["Asked", "Json", "Moment", "Page", "Told"]

T = TypeVar("T")

Json = JsonValue
"""Any JSON value."""


def _written(given: Any) -> Any:
    if isinstance(given, str) and len(given) < 40 and _DATE.match(given):
        return given
    if isinstance(given, datetime):
        return given
    raise ValueError("write it as RFC 3339 has it: `2026-11-26T07:30:00Z`")


_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")

Moment = Annotated[AwareDatetime, BeforeValidator(_written)]
"""A time with its zone (RFC 3339). A number is none: nobody could see in which unit it is."""


class Told(BaseModel):
    """What a server says. Fields that this release does not know are left out: the server may be a newer one."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64")


class Asked(BaseModel):
    """What a server is asked for. A field that it does not know is refused: it would be silently not done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def body(self) -> dict[str, Any]:
        """As it is sent: what was not said is left out."""
        return self.model_dump(mode="json", exclude_unset=True)


class Page(Told, Generic[T]):
    """A page of a list."""

    items: list[T]
    next: str | None = None
    """what to give as `after` for the page that follows; null: this is the last"""
