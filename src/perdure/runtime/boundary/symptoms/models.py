"""Models: the SDKs of OpenAI, Anthropic and Google, and pydantic-ai, which wraps them.

An answer that was turned down for its length or its content has the status of any bad request: the provider's code
says which it is, and where there is none, its words.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ....core.failures import Diagnosis, FailureClass
from .finding import Finding, Inside, Seen, attribute, in_doubt, leaf, mapping, module_of, not_done
from .http import STATUSES, body_of, headers_of, read_status, retry_after, status_of

__all__ = ["read_model"]

PACKAGES = frozenset({"openai", "anthropic", "pydantic_ai", "mistralai", "cohere", "groq", "litellm"})

_PERMANENT, _TRANSIENT = FailureClass.PERMANENT, FailureClass.TRANSIENT
_OVERLOADED, _REFUSED = FailureClass.OVERLOADED, FailureClass.REFUSED
_INVALID, _CONTEXT = FailureClass.INVALID_OUTPUT, FailureClass.CONTEXT_EXCEEDED

_TOO_LONG = not_done(_CONTEXT, "the conversation is longer than the model can read")
_FILTERED = not_done(_REFUSED, "the provider's content filter turned it down")
_NO_MONEY = not_done(_PERMANENT, "the account's quota or credit is used up, which waiting does not mend")
_NO_ANSWER = in_doubt(_TRANSIENT, "no whole answer came; the request may have been sent")

_NO_FORM = in_doubt(_TRANSIENT, "the provider's answer is not in its own form")

LENGTH = re.compile(
    r"context_length_exceeded|context[_ ]window|maximum context length|prompt is too long|input is too long"
    r"|exceeds? the (?:maximum|max) (?:number of )?(?:input )?tokens?|input token count|request_too_large"
    r"|request payload size exceeds"
    r"|too many (?:input )?tokens|reduce the length of the (?:messages|prompt)",
    re.IGNORECASE,
)
"""Code and words of OpenAI, Anthropic, Google, Mistral and of servers that speak OpenAI's protocol."""

CONTENT = re.compile(
    r"content_filter|content_policy_violation|ResponsibleAIPolicyViolation|PROHIBITED_CONTENT|content management policy"
    r"|blocked by (?:safety|content)|invalid_prompt|violating our usage polic",
    re.IGNORECASE,
)

MONEY = re.compile(
    r"insufficient_quota|billing_hard_limit_reached|billing_error|credit balance is too low|spend[_ ]limit"
    r"|quotaId['\"]:\s*['\"][^'\"]*PerDay",  # Google's words are the same for a minute's quota, which comes back
    re.IGNORECASE,
)

_NAMES: dict[str, Diagnosis] = {
    # OpenAI and Anthropic; by the name also where only that is left of an error
    "ContentFilterFinishReasonError": replace(_FILTERED, not_sent=False),
    "LengthFinishReasonError": in_doubt(_INVALID, "the answer was cut off at the limit of its length"),
    "APIResponseValidationError": _NO_FORM,
    "ContentTooLargeError": _TOO_LONG,
    "AuthenticationError": STATUSES[401],
    "PermissionDeniedError": STATUSES[403],
    "RateLimitError": STATUSES[429],
    "OverloadedError": STATUSES[529],
    "ServiceUnavailableError": STATUSES[503],
    "BadRequestError": not_done(_PERMANENT, "the provider turned it down as it was sent"),
    "NotFoundError": not_done(_PERMANENT, "the provider does not know what was asked for"),
    "UnprocessableEntityError": not_done(_PERMANENT, "the provider turned it down as it was sent"),
    "ConflictError": not_done(_TRANSIENT, "what it needs is locked"),  # the SDKs themselves retry a 409
    "InternalServerError": in_doubt(_TRANSIENT, "the provider failed"),
    "CredentialsError": not_done(_PERMANENT, "there is no usable credential"),
    # Google
    "UnknownApiResponseError": _NO_FORM,
    # pydantic-ai
    "ModelContextWindowExceededError": _TOO_LONG,
    "ModelQuotaExceededError": _NO_MONEY,
    "ModelAuthenticationError": not_done(_PERMANENT, "the credential was not accepted"),
    "ModelNotFoundError": not_done(_PERMANENT, "the provider does not know the model"),
    "ModelRateLimitError": STATUSES[429],
    "ModelOverloadedError": STATUSES[529],
    "ModelUnavailableError": STATUSES[503],
    "ModelServerError": in_doubt(_TRANSIENT, "the provider failed"),
    "ModelRequestRejectedError": not_done(_PERMANENT, "the provider turned it down as it was sent"),
    "ModelRequestTimeout": in_doubt(_TRANSIENT, "no answer came in time; the request may have been sent"),
    "ContentFilterError": replace(_FILTERED, not_sent=False),
    "UnexpectedModelBehavior": in_doubt(_INVALID, "the model's answer is not in the form that was asked for"),
    "ModelRetry": in_doubt(_INVALID, "the tool asks the model to try again with other arguments"),
    "ToolRetryError": in_doubt(_INVALID, "the tool asks the model to try again with other arguments"),
    "ConcurrencyLimitExceeded": not_done(
        _OVERLOADED, "too many calls wait for the model, so nothing was sent"
    ),
    "UsageLimitExceeded": in_doubt(_PERMANENT, "the limit of usage that was set is reached"),
    "UserError": in_doubt(_PERMANENT, "the program uses the library in a way that it does not allow"),
}

_STREAMED = {
    "overloaded_error": STATUSES[529],
    "service_unavailable_error": STATUSES[503],
    "server_is_overloaded": STATUSES[503],
    "rate_limit_error": STATUSES[429],
    "rate_limit_exceeded": STATUSES[429],
    "server_error": in_doubt(_TRANSIENT, "the provider failed"),
    "api_error": in_doubt(_TRANSIENT, "the provider failed"),
    "timeout_error": in_doubt(_TRANSIENT, "the provider gave up waiting"),
    "authentication_error": STATUSES[401],
    "permission_error": STATUSES[403],
    "invalid_request_error": in_doubt(_PERMANENT, "the provider turned it down as it was sent"),
}
"""Errors in the midst of an answer, by the provider's type or code: no status says what they are."""


FORMLESS = "Invalid response from "
"""How pydantic-ai begins, where the provider's answer has not the form of its protocol."""


def read_model(seen: Seen) -> Finding | None:
    """Errors of models' SDKs; None where it is none of theirs."""
    google = any(name.startswith("google.genai.errors:") for name in seen.names)
    if not google and not any(module_of(name) in PACKAGES for name in seen.names):
        return None
    found = _read(seen)
    if isinstance(found, Diagnosis) and found.not_sent and _tried_before(seen.error):
        return replace(found, not_sent=False)
    return found


def _read(seen: Seen) -> Finding | None:
    error = seen.error
    status = status_of(error)
    named = next((_NAMES[leaf(name)] for name in seen.names if leaf(name) in _NAMES), None)
    if "UnexpectedModelBehavior" in map(leaf, seen.names) and str(error).startswith(FORMLESS):
        return _NO_FORM  # of the provider's making, and not for the model to mend
    if named is _NO_FORM or (named is not None and named.failure is _INVALID):
        return named  # some carry the status of the answer that came: 200
    if status is not None:
        return _by_status(seen, status, named)
    if "APIConnectionError" in map(leaf, seen.names):
        return Inside(error.__cause__, _NO_ANSWER)
    if "ModelConnectionError" in map(leaf, seen.names):
        never = attribute(error, "phase") in ("pool", "connect")
        sent = not_done(_TRANSIENT, "no connection was made, so nothing was sent") if never else _NO_ANSWER
        return Inside(error.__cause__, sent)
    if named is not None:
        return replace(named, retry_after=_asked(seen, None))
    said = body_of(error) or str(error)
    if LENGTH.search(said):
        return _TOO_LONG
    for name in (attribute(error, "type"), attribute(error, "code"), attribute(error, "provider_error_type")):
        if name in _STREAMED:
            return replace(_STREAMED[name], not_sent=False)
    if {"APIError", "ModelAPIError"} & set(map(leaf, seen.names)):
        # The answer began and broke: an error in a stream, half a body.
        return replace(_NO_ANSWER, why="the provider's answer broke off or was damaged")
    return None


def _by_status(seen: Seen, status: int, named: Diagnosis | None) -> Diagnosis | None:
    said = f"{body_of(seen.error)} {seen.error}"
    if status in (400, 403, 413, 422, 429) and (why := _in_words(status, said)) is not None:
        return replace(why, why=f"HTTP {status}: {why.why}")
    known = read_status(seen)
    if known is None:
        return named
    if status in (409,):
        known = replace(known, failure=_TRANSIENT)  # as both SDKs have it: a lock that was not had in time
    elif status == 403 and known.failure is _REFUSED and CONTENT.search(said) is None:
        # The key may not use this model: what the agent says does not matter.
        known = replace(known, failure=_PERMANENT, why="HTTP 403: the credential may not do this")
    if attribute(seen.error, "in_stream"):
        known = replace(known, not_sent=False)
    return replace(known, retry_after=_asked(seen, known.retry_after))


def _in_words(status: int, said: str) -> Diagnosis | None:
    if status != 429 and CONTENT.search(said):
        return _FILTERED
    if status == 413 or (status != 429 and LENGTH.search(said)):
        return _TOO_LONG
    return _NO_MONEY if MONEY.search(said) else None


def _asked(seen: Seen, known: float | None) -> float | None:
    """How long to wait: of the headers, or what pydantic-ai or Google's body say."""
    if known is not None:
        return known
    said = attribute(seen.error, "retry_after")
    if isinstance(said, int | float) and 0 <= said < 1e9:
        return float(said)
    details: Any = mapping(mapping(attribute(seen.error, "details")).get("error")).get("details")
    for detail in details if isinstance(details, list) else ():  # pyright: ignore[reportUnknownVariableType]
        delay = mapping(detail).get("retryDelay")  # google.rpc.RetryInfo
        if isinstance(delay, str) and re.fullmatch(r"\d+(\.\d+)?s", delay):
            return float(delay[:-1])
    return retry_after(429, headers_of(seen.error), seen.now)


def _tried_before(error: BaseException) -> bool:
    """Whether the SDK had already tried in vain: of those attempts the error tells nothing."""
    for at in (error, error.__cause__):
        headers = attribute(attribute(at, "request"), "headers")
        get = attribute(headers, "get")
        if callable(get) and str(get("x-stainless-retry-count") or "0") != "0":
            return True
    return False
