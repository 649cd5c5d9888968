"""How a command ends: exit codes that scripts can use, and errors as one line."""

from __future__ import annotations

import enum

from ..core import errors

__all__ = ["CODES", "Exit", "exit_code"]


class Exit(enum.IntEnum):
    """What the exit code says. `docs/cli.md` shows this table to users."""

    OK = 0
    NOT_SO = 1
    """a run did not succeed, a check failed, or the condition that was asked about does not hold"""
    USAGE = 2
    """the command line, a setting, an input or the program cannot be used as given"""
    STORE = 3
    """the store is unavailable, corrupt, or of a newer version"""
    NOT_FOUND = 4
    """no such run, step, agent, schedule, connection or open question"""
    CONFLICT = 5
    """the run has ended, was answered already, or its id is taken"""
    INTERRUPTED = 130
    """Ctrl-C"""


CODES: tuple[tuple[type[errors.PerdureError], Exit], ...] = (
    (errors.UnknownRun, Exit.NOT_FOUND),
    (errors.UnknownStep, Exit.NOT_FOUND),
    (errors.UnknownAgent, Exit.NOT_FOUND),
    (errors.UnknownAlert, Exit.NOT_FOUND),
    (errors.UnknownItem, Exit.NOT_FOUND),
    (errors.UnknownApprover, Exit.NOT_FOUND),
    (errors.UnknownKey, Exit.NOT_FOUND),
    (errors.UnknownSchedule, Exit.NOT_FOUND),
    (errors.UnknownConnection, Exit.NOT_FOUND),
    (errors.UnknownSubject, Exit.NOT_FOUND),
    (errors.RunConflict, Exit.CONFLICT),
    (errors.RunEnded, Exit.CONFLICT),
    (errors.RunNotEnded, Exit.CONFLICT),
    (errors.RunPruned, Exit.CONFLICT),
    (errors.AnswerRefused, Exit.CONFLICT),
    (errors.Superseded, Exit.CONFLICT),
    (errors.RunFailed, Exit.NOT_SO),
    (errors.StoreError, Exit.STORE),
    (errors.BadSignature, Exit.NOT_SO),
    (errors.PrincipalRefused, Exit.USAGE),
    (errors.AccessRefused, Exit.USAGE),
    (errors.TrustRefused, Exit.USAGE),
    (errors.ApiError, Exit.NOT_SO),
    (errors.StepError, Exit.NOT_SO),
    (errors.ProviderError, Exit.NOT_SO),
    (errors.ConfigError, Exit.USAGE),
    (errors.ProgramError, Exit.USAGE),
)
"""The first row whose type fits decides."""


def exit_code(error: errors.PerdureError) -> Exit:
    """The exit code of an error."""
    return next((code for kind, code in CODES if isinstance(error, kind)), Exit.NOT_SO)
