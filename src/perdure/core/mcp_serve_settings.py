"""The table `[mcp_serve]` of `perdure.toml`: what MCP clients may use of this app.

[mcp_serve]
agents = ["refund", "triage"]       # offered as tools; without it those that say `mcp=True`, and no other
wait = 30                           # seconds that a call of an agent waits for its run
on_cancel = "detach"                # a client that gives up leaves the run alone; `cancel` cancels it
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["McpServeSettings"]


class McpServeSettings(BaseModel):
    """What is offered, and within which bounds. Durations are seconds, or ISO 8601 (`PT30S`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agents: tuple[str, ...] = ()
    """agents that are offered, beside those that are registered with `mcp=True`; `*`: all"""
    wait: timedelta = Field(default=timedelta(seconds=30), ge=timedelta(), le=timedelta(minutes=10))
    """for so long a call of an agent, or one that watches a run, waits; what takes longer is asked for again"""
    on_cancel: Literal["detach", "cancel"] = "detach"
    """what becomes of a run whose caller gives its call up: it goes on, or it is cancelled"""
    most_output: int = Field(default=50_000, ge=1000, le=1_000_000)
    """characters of one answer"""
    sessions: bool = True
    """whether clients of the protocol before 2026-07-28 get a session in the server's memory, as questions to their
    person need; not for servers behind a balancer that sends each request elsewhere"""
    idle: timedelta = Field(default=timedelta(minutes=30), gt=timedelta())
    """after this without a request such a session ends"""

    @field_validator("agents", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given
