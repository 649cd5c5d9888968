"""Trust rings: how much of what an agent wants to do it does by itself, from nothing to all of it.

observe ──► draft ──► act_after_approval ──► act_and_verify          wider: by a signed change
   ◄──────────◄────────────────◄──────────────────┘                 narrower: at once, by anybody
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from .errors import ConfigError

__all__ = ["ANY_ACTION", "RINGS", "Ring", "read_rings", "ring_of"]

ANY_ACTION = "*"
"""In place of a tool's name: all actions of an agent."""


class Ring(StrEnum):
    """A level of autonomy, of one agent and one action (a tool that changes something)."""

    OBSERVE = "observe"
    """nothing is carried out: what the agent would have done is recorded"""
    DRAFT = "draft"
    """nothing is carried out by the agent: each call is a draft, which a person may release"""
    ACT_AFTER_APPROVAL = "act_after_approval"
    """each call is carried out once a person has approved it, whatever policies allow"""
    ACT_AND_VERIFY = "act_and_verify"
    """carried out as policies allow, and checked by the tool's `check` afterwards"""
    NONE = "none"
    """no ring: policies alone decide"""

    @property
    def width(self) -> int:
        """From 1, the narrowest."""
        return _WIDTHS[self]

    def wider_than(self, other: Ring) -> bool:
        """Whether it lets more happen."""
        return self.width > other.width

    def narrower(self) -> Ring:
        """The next that lets less happen; the narrowest has none but itself.

        Where no ring held so far, people are asked from now on.
        """
        if self in (Ring.NONE, Ring.ACT_AND_VERIFY):
            return Ring.ACT_AFTER_APPROVAL
        return Ring.DRAFT if self is Ring.ACT_AFTER_APPROVAL else Ring.OBSERVE

    def narrowed_to(self, other: Ring) -> Ring:
        """The narrower of both."""
        return other if self.wider_than(other) else self


RINGS = (Ring.OBSERVE, Ring.DRAFT, Ring.ACT_AFTER_APPROVAL, Ring.ACT_AND_VERIFY)
"""The rings, from the narrowest."""

_WIDTHS = {ring: n for n, ring in enumerate((*RINGS, Ring.NONE), 1)}


def ring_of(given: str, *, what: str) -> Ring:
    """A ring by its name. Raises `ConfigError`."""
    if given not in tuple(Ring):
        raise ConfigError(f"{what}: `{given}` is no ring; rings are {', '.join(Ring)}")
    return Ring(given)


def read_rings(given: str | Mapping[str, str] | None, *, what: str) -> dict[str, Ring]:
    """Rings by action, as people write them: one for all, or one for each tool, and for the others under `*`.

    Raises `ConfigError`.
    """
    if given is None:
        return {}
    if isinstance(given, str):
        return {ANY_ACTION: ring_of(given, what=what)}
    return {action: ring_of(ring, what=f"{what}: `{action}`") for action, ring in given.items()}
