"""The states of a run, and why it waits.

                       start
                         │
                         ▼          claim
                     ┌─pending──────────────► running ──► succeeded │ partial │ escalated
                     │   ▲                    │  │   └──► failed │ cancelled
              cancel │   │ due, message,      │  │
          (terminate)│   │ resume             │  │ every branch waits
                     │   └────── waiting ◄────┘──┘
                     │              │
                     ▼              ▼            lease ran out: running ──► pending (unclean + 1)
                 cancelled      cancelled        deaths alone:  running ──► quarantined

`pending`, `running` and `waiting` are the only states from which a run moves, but `quarantined`, from which an
operator may release it. The picture and `MOVES` agree; a test compares them with what the stores do.
"""

from __future__ import annotations

import enum

__all__ = ["ENDINGS", "MOVES", "RunStatus", "WaitReason"]


class RunStatus(enum.StrEnum):
    """Where a run stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    ESCALATED = "escalated"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"


ENDINGS = frozenset(
    {
        RunStatus.SUCCEEDED,
        RunStatus.PARTIAL,
        RunStatus.ESCALATED,
        RunStatus.FAILED,
        RunStatus.CANCELLED,
        RunStatus.QUARANTINED,
    }
)
"""The states in which a run has ended."""

MOVES: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({RunStatus.RUNNING, RunStatus.CANCELLED}),
    RunStatus.RUNNING: frozenset({RunStatus.PENDING, RunStatus.WAITING}) | ENDINGS,
    RunStatus.WAITING: frozenset({RunStatus.PENDING, RunStatus.RUNNING, RunStatus.CANCELLED}),
    RunStatus.QUARANTINED: frozenset({RunStatus.PENDING}),
}
"""From each state, the states that may follow."""


class WaitReason(enum.StrEnum):
    """Why a run waits. A run that waits always has at least one."""

    TIMER = "timer"
    SIGNAL = "signal"
    APPROVAL = "approval"
    CHILD = "child"
    IN_DOUBT = "in_doubt"
    RETRY = "retry"
    """a call failed and is tried again later"""
    RATE_LIMIT = "rate_limit"
    """its place in the queue of a rate limit has not come yet"""
    DEFERRED = "deferred"
    """the agent put the work off itself"""
    BUDGET = "budget"
    """a budget is exhausted; its owner is asked"""
    NEEDS_CONNECTION = "needs_connection"
    """its user has connected no account that a call could use; a shared one is never taken instead"""
    STOPPED = "stopped"
    """somebody has stopped its agent, its user, its tenant or all of the store; it goes on where it was, once it may"""
    NONDETERMINISTIC = "nondeterministic"
    PAUSED = "paused"
    NO_WORKER_FOR_VERSION = "no_worker_for_version"
    """no live worker has its agent in its version"""
    NO_WORKER_FOR_NEEDS = "no_worker_for_needs"
    """none of those that have it has the labels that the run needs"""
    NOT_IMPORTABLE = "not_importable"
    """it is to go alone in a process of its own, which cannot import the app"""
    CORRUPT = "corrupt"
    """its journal is not what was written; nothing was built on it"""
    SEALED = "sealed"
    """its journal is sealed, and the worker that had it has no key that opens it"""
