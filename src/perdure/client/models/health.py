"""Whether a server is well, and whether it can do its work."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Told

__all__ = ["Health", "Readiness"]


class Health(Told):
    """The process lives and answers."""

    status: Literal["ok"] = "ok"
    version: str = Field(examples=["0.1.0"])
    """of Perdure, which the server runs"""


class Readiness(Told):
    """Whether the server can do what it is asked for."""

    status: Literal["ready", "unready"]
    checks: dict[str, str] = Field(examples=[{"store": "ok"}])
    """`ok`, or what is wrong, by what was looked at"""
