"""What a stream tells."""

from __future__ import annotations

from typing import Any

import pydantic_core

from .base import Told

__all__ = ["Event"]


class Event(Told):
    """One event of a stream."""

    name: str
    """`entry`, `run`, `token`, `end`, ..."""
    id: str | None = None
    """where to go on after a reconnect; null: it is provisional"""
    data: str
    """JSON"""

    def read(self) -> Any:
        """`data`, as a value."""
        return pydantic_core.from_json(self.data)
