"""What the models of all nouns share."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

__all__ = ["Asked", "Json", "Page", "Told"]

T = TypeVar("T")

Json = JsonValue
"""Any JSON value."""


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
