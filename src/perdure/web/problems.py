"""What went wrong, as a page that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ..core.errors import (
    AnswerRefused,
    BadSignature,
    ConfigError,
    Forbidden,
    InvalidInput,
    PerdureError,
    RunConflict,
    RunEnded,
    RunNotEnded,
    RunPruned,
    StoreCorrupt,
    StoreError,
    StoreSealed,
    StoreUnavailable,
    TooManyRequests,
    Unauthenticated,
    UnknownAgent,
    UnknownAlert,
    UnknownItem,
    UnknownKey,
    UnknownRun,
    UnknownStep,
)

__all__ = ["Problem", "problem_of"]

SIGN_IN = "/sign-in"
_RUNS = ("All runs", "/runs")
_APPROVALS = ("What waits for you", "/approvals")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem, for whoever ran into it."""

    status: int
    title: str
    why: str
    commands: tuple[str, ...] = ()
    ways: tuple[tuple[str, str], ...] = (_RUNS,)
    """where to go from here: words and paths"""
    back: str = ""
    """the page that was asked for, to which a sign-in leads"""

    @classmethod
    def unexpected(cls) -> Problem:
        """A fault of ours: what it is stands in the log, as it may tell things that are not for everybody."""
        return cls(
            status=500,
            title="That should not have happened",
            why="The server's log says what went wrong. What runs do is not touched by it: their workers go on.",
            commands=("perdure doctor",),
        )

    def told(self, url: Callable[[str], str]) -> dict[str, Any]:
        """For the template."""
        return {
            "status": self.status,
            "title": self.title,
            "why": self.why,
            "commands": self.commands,
            "ways": [(name, url(path) + self._back(path)) for name, path in self.ways],
        }

    def _back(self, path: str) -> str:
        return f"?{urlencode({'to': self.back})}" if self.back and path == SIGN_IN else ""


_KINDS: tuple[tuple[type[PerdureError], int, str, tuple[str, ...], tuple[tuple[str, str], ...]], ...] = (
    (Unauthenticated, 401, "Who are you?", (), (("Sign in", SIGN_IN),)),
    (Forbidden, 403, "Not for you", (), (_RUNS,)),
    (TooManyRequests, 429, "Too fast", (), (_RUNS,)),
    (UnknownAgent, 404, "No such agent", ("perdure agents ls",), (("All agents", "/agents"),)),
    (UnknownAlert, 404, "That alert is over", ("perdure alerts ls",), (("The fleet", "/fleet"),)),
    (
        UnknownItem,
        404,
        "Nothing of that name is remembered",
        ("perdure memory search",),
        (("Memory", "/memory"),),
    ),
    (UnknownRun, 404, "No such run", ("perdure runs ls",), (_RUNS,)),
    (UnknownStep, 409, "That has moved on", ("perdure approvals ls",), (_APPROVALS, _RUNS)),
    (BadSignature, 400, "That is not signed as it must be", (), (("Your passkeys", "/passkeys"), _APPROVALS)),
    (UnknownKey, 404, "No such passkey", (), (("Your passkeys", "/passkeys"),)),
    (AnswerRefused, 409, "The answer does not count", (), (_APPROVALS,)),
    (InvalidInput, 422, "That does not fit", (), (_APPROVALS, _RUNS)),
    (RunPruned, 410, "Taken away", (), (_RUNS,)),
    (RunEnded, 409, "The run has ended", (), (_RUNS,)),
    (RunNotEnded, 409, "The run goes on", (), (_RUNS,)),
    (RunConflict, 409, "Somebody was first", (), (_RUNS,)),
    (StoreSealed, 503, "Sealed", ("perdure doctor",), (_RUNS,)),
    (StoreCorrupt, 500, "A journal is not what was written", ("perdure audit verify",), (_RUNS,)),
    (StoreUnavailable, 503, "The store cannot be reached", ("perdure doctor",), (_RUNS,)),
    (StoreError, 503, "The store did not do it", ("perdure doctor",), (_RUNS,)),
    (ConfigError, 400, "That cannot be", (), (_RUNS,)),
)
"""By kind of error, the first that fits: status, title, commands that help, ways on."""


def problem_of(error: PerdureError) -> Problem:
    """The page for an error."""
    for kind, status, title, commands, ways in _KINDS:
        if isinstance(error, kind):
            return Problem(
                status=status, title=title, why=_sentence(str(error)), commands=commands, ways=ways
            )
    return Problem(status=400, title="That did not work", why=_sentence(str(error)))


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}." if text and text[-1] not in ".!?" else text[:1].upper() + text[1:]
