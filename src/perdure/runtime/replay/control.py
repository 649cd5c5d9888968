"""How a run is left in the middle: one exception, and the reasons for it."""

from __future__ import annotations

import enum

__all__ = ["Finish", "Halt", "Unwind"]


class Halt(enum.Enum):
    """Why a segment stops before its function has returned."""

    SUSPENDED = "suspended"
    """every branch waits; the claim has been released"""
    SUPERSEDED = "superseded"
    """another worker owns the run, or the lease could not be kept"""
    MISMATCH = "mismatch"
    """replay asked for something else than was recorded"""
    STORE = "store"
    """the store cannot be written"""
    CONTINUED = "continued"
    """the run begins again with new input"""
    DRAINED = "drained"
    """the worker stops; the run goes on elsewhere"""


class Unwind(BaseException):
    """Leaves the agent's function. Not an `Exception`: agents and frameworks catch those.

    Code that swallows it gets it again at its next step; what it does in between cannot be recorded any more.
    """


class Finish(BaseException):
    """Leaves the agent's function, because the run has said how it ends. Not an `Exception`, for the same reason.

    Code that swallows it gets it again at its next step that is not shielded, and what it returns does not count.
    """
