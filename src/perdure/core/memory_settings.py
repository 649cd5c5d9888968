"""The table `[memory]` of `perdure.toml`: which backends keep what agents remember beyond a run.

[memory]
sessions = "store"                  # beside the journals, the default
review = "untrusted"                # which writes wait for a person; the default is "none"

[memory.shared]
desk = ["billing"]                  # who reads what the agent `desk` alone remembers

[memory.retention]
session = "P90D"                    # how long what is written is kept at most
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MemorySettings", "RetentionOfMemory"]


class RetentionOfMemory(BaseModel):
    """How long the layers keep what is written from now on; without a value, until it is forgotten."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    session: timedelta | None = Field(default=None, gt=timedelta())

    def rules(self) -> dict[str, timedelta]:
        """By layers, without those that keep everything."""
        return {name: value for name, value in self if isinstance(value, timedelta)}


class MemorySettings(BaseModel):
    """Without a setting a layer is kept in the store of the journals."""

    # An address may hold a password: no message shows what was given.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    sessions: str = "store"
    """where conversations and cases are: `store`, beside the journals"""
    review: Literal["none", "untrusted", "all"] = "none"
    """which writes wait for a person before anybody recalls them: those of runs that have read something untrusted"""
    shared: Mapping[str, tuple[str, ...]] = Field(default_factory=dict[str, "tuple[str, ...]"])
    """by agents: which others read what is theirs alone"""
    retention: RetentionOfMemory = Field(default_factory=RetentionOfMemory)
    """by layers: how long what is written is kept at most"""
