"""What the watchers that come with Perdure do, and from when on: the table `[watchers]` of `perdure.toml`.

[watchers]
violations = "suspend"     # alarm, narrow, suspend or off
anomalies = "alarm"
denials = 3                # of one run, until it is a violation
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["OnFinding", "WatcherSettings"]

OnFinding = Literal["alarm", "narrow", "suspend"]
"""What follows where a watcher finds something: people are told; and the agent's trust ring is narrowed; and the run is
stopped."""


class WatcherSettings(BaseModel):
    """The built-in watchers. Without the table none of them looks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    violations: OnFinding | Literal["off"] = "alarm"
    """where a run goes on trying what it may not"""
    anomalies: OnFinding | Literal["off"] = "alarm"
    """where a run calls, spends or tries what runs of its agent do not"""
    denials: int = Field(default=3, ge=1, le=1000)
    """denied calls of one run, from which on it is a violation"""
    learn: int = Field(default=20, ge=10, le=10_000)
    """runs of an agent that are learned from, before any other is called unusual"""
    one_in: int = Field(default=10_000, ge=100, le=10_000_000)
    """usual runs, of which at most one is to be called unusual"""
