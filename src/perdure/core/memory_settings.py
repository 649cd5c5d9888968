"""The table `[memory]` of `perdure.toml`: which backends keep what agents remember beyond a run.

[memory]
sessions = "store"                  # beside the journals, the default
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["MemorySettings"]


class MemorySettings(BaseModel):
    """Without a setting a layer is kept in the store of the journals."""

    # An address may hold a password: no message shows what was given.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    sessions: str = "store"
    """where conversations and cases are: `store`, beside the journals"""
