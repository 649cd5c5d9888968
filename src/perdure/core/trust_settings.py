"""The table `[trust]` of `perdure.toml`: how far agents are trusted that say nothing else, and what changes that."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from .rings import Ring

__all__ = ["NarrowOn", "TrustSettings"]

NarrowOn = Literal["check", "violation", "outcome"]
"""What narrows a ring by itself: a `check` that did not pass, a denial by a policy that is marked `@violation`, or a
goal that was not met."""


class TrustSettings(BaseModel):
    """What holds for the rings of a project's agents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ring: Ring = Ring.NONE
    """where agents begin that say no other"""
    narrow_on: frozenset[NarrowOn] = frozenset({"check", "violation", "outcome"})
    """what narrows a ring by one, at once"""
    signers: tuple[str, ...] = ()
    """people, and groups of `[approvals.groups]`, whose signature widens a ring; none: whoever has a key under
    `[approvals.keys]`"""
    approvers: tuple[str, ...] = ()
    """people, and groups, who are asked for what a ring lets no agent do by itself; none: whoever may approve"""
    needed: dict[Ring, float] = Field(default_factory=lambda: {Ring.ACT_AND_VERIFY: 0.9})
    """the success rate, by the ring that is asked for, of which the evidence must make sure at 95 %"""

    @field_validator("needed")
    @classmethod
    def _rates(cls, given: dict[Ring, float]) -> dict[Ring, float]:
        for ring, rate in given.items():
            if not 0 <= rate < 1:
                raise ValueError(f"`{ring}` needs `{rate}`, which is no rate from 0 and below 1")
        return given

    @field_validator("ring", mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if isinstance(given, str) and given not in tuple(Ring):
            raise ValueError(f"`{given}` is no ring; rings are {', '.join(Ring)}")
        return given
