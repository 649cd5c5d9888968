"""Every error as a problem (RFC 9457): the one place that says which status an error has.

error ──► the nearest of its classes in `STATUS` ──► status, title, type
message ──► detail: it says already what was wrong and what to do next
what nobody expected ──► 500 without a word of it: it may hold anything; the log has the rest
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..client.models import Misfit, Problem
from ..core import errors
from ..core.errors import PerdureError

__all__ = ["MEDIA_TYPE", "STATUS", "add_problems", "problem", "problem_of", "response"]

log = logging.getLogger("perdure.api")

MEDIA_TYPE = "application/problem+json"

TYPES = "https://perdure.dev/problems/"
"""Types are names, not addresses to be fetched."""

STATUS: Mapping[type[PerdureError], int] = {
    PerdureError: 500,
    errors.ConfigError: 422,
    errors.AccessRefused: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.TooManyRequests: 429,
    errors.StoreError: 500,
    errors.StoreUnavailable: 503,
    errors.StoreMoved: 503,
    errors.StoreSealed: 503,
    errors.Superseded: 409,
    errors.BadSignature: 401,
    errors.ProviderError: 502,
    errors.ProviderUnavailable: 503,
    errors.ApiError: 502,
    errors.TrustRefused: 403,
    errors.UnknownApprover: 404,
    errors.UnknownKey: 404,
    errors.UnknownAlert: 404,
    errors.UnknownItem: 404,
    errors.PrincipalRefused: 403,
    errors.UnknownSchedule: 404,
    errors.UnknownConnection: 404,
    errors.UnknownSubject: 404,
    errors.RunError: 409,
    errors.UnknownRun: 404,
    errors.UnknownStep: 404,
    errors.RunPruned: 410,
    errors.ProgramError: 422,
    errors.UnknownAgent: 404,
    errors.StepError: 409,
    errors.LimitFull: 429,
    errors.CircuitOpen: 503,
    errors.Refused: 403,
}
"""By the class that is nearest in the error's family."""

_MOST_MISFITS = 20
_MOST_WORDS = 2000


def add_problems(api: FastAPI) -> None:
    """Answer every error of an application with a problem."""

    async def raised(request: Request, error: Exception) -> Response:
        said: Mapping[str, str] = getattr(error, "headers", None) or {}
        more = {name.lower(): value for name, value in said.items()}
        if isinstance(error, HTTPException) and error.status_code == 405:
            more["allow"] = ", ".join(_methods(request))
        if isinstance(error, errors.Unauthenticated):
            more["www-authenticate"] = error.challenge
        return response(problem_of(error), request, headers=more)

    for kind in (PerdureError, HTTPException, RequestValidationError, Exception):
        api.add_exception_handler(kind, raised)


def _methods(request: Request) -> list[str]:
    """What may be done at that path: a router knows of the first route that fits only."""
    path = request.url.path.removeprefix(str(request.scope.get("root_path", "")))
    paths: Mapping[str, Mapping[str, Any]] = request.app.openapi()["paths"]
    fitting = [
        operations
        for template, operations in paths.items()
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
    ]
    return sorted({method.upper() for operations in fitting for method in operations})


def problem_of(error: Exception) -> Problem:
    """What an error is, outside."""
    if isinstance(error, RequestValidationError):
        return _misfit(error)
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        return problem(error.status_code, error.detail if error.detail != phrase else None)
    if isinstance(error, PerdureError):
        return _known(error)
    log.error("a request failed by an error that nobody expected", exc_info=error)
    return problem(500, "something went wrong here; the server's log says what")


def _known(error: PerdureError) -> Problem:
    family = next(kind for kind in type(error).__mro__ if kind in STATUS)
    status = STATUS[family]
    if status == 500:
        log.error("a request failed: %s", error, exc_info=error)
    name = type(error).__name__
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()
    return Problem(
        type=TYPES + words.lower().replace(" ", "-"),
        title=words,
        status=status,
        detail=str(error)[:_MOST_WORDS] or None,
        retry_after=getattr(error, "retry_after", None) or (1.0 if status == 503 else None),
    )


def _misfit(error: RequestValidationError) -> Problem:
    found: Sequence[Mapping[str, Any]] = error.errors()
    # The input itself is not repeated: it may hold a secret, and its sender has it.
    told = [
        Misfit(where=".".join(str(part) for part in one["loc"])[:300], what=str(one["msg"])[:300])
        for one in found[:_MOST_MISFITS]
    ]
    first = f"`{told[0].where}`: {told[0].what}" if told else "it is not what was expected"
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return Problem(
        type=f"{TYPES}misfit",
        title="The request does not fit",
        status=422,
        detail=f"{first}{more}; `openapi.json` says what may be sent",
        errors=told,
    )


def problem(status: int, detail: str | None = None, *, title: str | None = None) -> Problem:
    """A problem that is no more than its status."""
    return Problem(title=title or HTTPStatus(status).phrase, status=status, detail=detail)


def response(told: Problem, request: Request, *, headers: Mapping[str, str] | None = None) -> Response:
    """A problem as it is sent."""
    headers = {"cache-control": "no-store", **(headers or {})}
    if told.retry_after is not None:
        headers["retry-after"] = str(max(1, round(told.retry_after)))
    told = told.model_copy(update={"instance": request.url.path})
    body = told.model_dump_json(exclude_none=True)
    return Response(body, status_code=told.status, headers=headers, media_type=MEDIA_TYPE)
