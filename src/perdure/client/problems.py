"""From a server's problem back to the error that it was."""

from __future__ import annotations

import pydantic

from ..core import errors
from ..core.errors import ApiError, PerdureError, TooManyRequests
from .models import Problem

__all__ = ["error_of", "problem_in"]


def problem_in(body: bytes, *, status: int) -> Problem:
    """The problem that an answer says; of one that says none, its status."""
    try:
        return Problem.model_validate_json(body)
    except pydantic.ValidationError:
        return Problem(title=f"HTTP {status}", status=status, detail=None)


def error_of(problem: Problem) -> PerdureError:
    """The error of the tree that a problem names, as the server raised it; else `ApiError`."""
    message = problem.detail or problem.title
    name = problem.type.rpartition("/")[2].replace("-", " ").title().replace(" ", "")
    kind = getattr(errors, name, None) if name in errors.__all__ else None
    if kind is TooManyRequests:
        return TooManyRequests(message, retry_after=problem.retry_after or 1.0)
    if isinstance(kind, type) and issubclass(kind, PerdureError):
        try:
            return kind(message)
        except TypeError:  # it says more than a message, and that stayed where it was
            pass
    return ApiError(message, status=problem.status, retry_after=problem.retry_after)
