"""The classes of failure: each error has one, and each class one answer.

transient         try again: bounded, with growing pauses
overloaded        the same, and the breaker counts it; then another model, or cached data, labelled as such
invalid_output    show the model what does not fit, once; then escalate
context_exceeded  say less: compact, then a larger model, then partial
refused           tell the agent why; it may choose another way
stuck             it goes on without getting anywhere: stop and escalate
permanent         trying the same again gives the same: compensate, escalate
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Diagnosis", "FailureClass"]


class FailureClass(StrEnum):
    """What kind of failure an error is."""

    TRANSIENT = "transient"
    OVERLOADED = "overloaded"
    INVALID_OUTPUT = "invalid_output"
    CONTEXT_EXCEEDED = "context_exceeded"
    REFUSED = "refused"
    STUCK = "stuck"
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known of one error."""

    failure: FailureClass
    not_sent: bool = False
    """the error proves that the effect did not happen: it was never sent, or was turned down, or was rolled back"""
    retry_after: float | None = None
    """seconds that the receiver asked to be left alone; None: it did not say"""
    why: str = ""
    """one sentence"""
