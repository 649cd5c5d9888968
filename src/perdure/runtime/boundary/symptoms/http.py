"""HTTP: what a status says, and what headers say of when to come again.

A status proves that nothing was done where RFC 9110 gives it to a request that was turned down: the 4xx, but for those
that proxies send when they do not know. A 5xx never does: the origin may have done the work before it, or a proxy
behind it, failed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

import pydantic_core

from ....core.failures import Diagnosis, FailureClass
from .finding import Seen, attribute, causes, in_doubt, mapping, module_of, not_done, with_wait

__all__ = ["body_of", "headers_of", "read_status", "retry_after", "status_of"]

_PERMANENT, _TRANSIENT = FailureClass.PERMANENT, FailureClass.TRANSIENT
_OVERLOADED, _REFUSED = FailureClass.OVERLOADED, FailureClass.REFUSED

STATUSES: dict[int, Diagnosis] = {
    # A new attempt with this credential, and another idea of the agent's, get the same: somebody must mend it.
    401: not_done(_PERMANENT, "the credential was not accepted"),
    402: not_done(_PERMANENT, "the account must be paid first"),
    # Who asks is known and this one thing is not allowed: the agent is told, and can choose another.
    403: not_done(_REFUSED, "the receiver forbids it"),
    407: not_done(_PERMANENT, "the proxy's credential was not accepted"),
    # RFC 9110 says that the request never arrived whole; gateways say 408 of an answer that took too long.
    408: in_doubt(_TRANSIENT, "the receiver gave up waiting"),
    409: not_done(_PERMANENT, "it conflicts with what the receiver has"),
    421: not_done(_TRANSIENT, "it reached a server that does not answer for this address"),
    423: not_done(_TRANSIENT, "what it needs is locked"),
    425: not_done(_TRANSIENT, "it came too early"),
    429: not_done(_OVERLOADED, "the receiver asks for fewer requests"),
    451: not_done(_REFUSED, "it is not available for legal reasons"),
    499: in_doubt(_TRANSIENT, "a proxy saw the connection closed before the answer came"),
    501: not_done(_PERMANENT, "the receiver cannot do this at all"),
    503: in_doubt(_OVERLOADED, "the receiver is not available now"),
    505: not_done(_PERMANENT, "the receiver does not speak this version of HTTP"),
    529: in_doubt(_OVERLOADED, "the receiver is overloaded"),
}

FORBIDDEN_BY_LIMIT = ("x-ratelimit-remaining", "ratelimit-remaining")

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
EPOCH = 1_000_000_000
"""A reset that is larger than this is a time; a smaller one is a number of seconds from now."""

LONGEST_BODY = 20_000


def read_status(seen: Seen) -> Diagnosis | None:
    """Any error that carries an HTTP status, whoever made it."""
    status = status_of(seen.error)
    if status is None:
        return None
    headers = headers_of(seen.error)
    diagnosis = _by_status(status, headers, seen.error)
    said = with_wait(diagnosis, retry_after(status, headers, seen.now))
    return Diagnosis(said.failure, said.not_sent, said.retry_after, f"HTTP {status}: {said.why}")


def _by_status(status: int, headers: Mapping[str, str], error: BaseException) -> Diagnosis:
    if status == 403 and any(headers.get(name) == "0" for name in FORBIDDEN_BY_LIMIT):
        # docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
        return not_done(_OVERLOADED, "the limit of requests is used up")
    if status == 409:
        body = body_of(error).lower()
        if "idempoten" in body:
            return in_doubt(_TRANSIENT, "an earlier request with this idempotency key is still under way")
        if "lock" in body:
            return not_done(_TRANSIENT, "what it needs is locked")
    known = STATUSES.get(status)
    if known is not None:
        return known
    if status >= 500:
        return in_doubt(_TRANSIENT, "the receiver, or a proxy before it, failed")
    if status >= 400:
        return not_done(_PERMANENT, "the receiver turned it down as it was sent")
    return in_doubt(_PERMANENT, "the answer is not one that the caller takes")


def status_of(error: BaseException) -> int | None:
    """The status that an error carries, by the names that libraries give it."""
    for holder in (error, attribute(error, "response")):
        for name in ("status_code", "status", "http_status", "code"):
            value = attribute(holder, name)
            if type(value) is int and 300 <= value < 600:
                return value
    metadata = mapping(mapping(attribute(error, "response")).get("ResponseMetadata"))  # botocore
    value = metadata.get("HTTPStatusCode")
    return value if type(value) is int and 300 <= value < 600 else None


def headers_of(error: BaseException) -> dict[str, str]:
    """The headers of the answer, names in lower case: of the error, or of what it was raised from."""
    for at in causes(error):
        response = attribute(at, "response")
        for found in (attribute(at, "headers", "hdrs"), attribute(response, "headers")):
            items = attribute(found, "items")
            if not callable(items):
                continue
            try:
                return {str(k).lower(): str(v) for k, v in cast("Any", items())}
            except (TypeError, ValueError):
                continue
    return {}


def body_of(error: BaseException) -> str:
    """The answer's body as text, as far as the error has it: nothing is read from the network for it."""
    for at in causes(error):
        body = attribute(at, "body", "details", "response_text")
        if body is None:
            body = attribute(attribute(at, "response"), "text")
        if isinstance(body, bytes | bytearray):
            body = bytes(body).decode(errors="replace")
        if isinstance(body, str) and body:
            return body[:LONGEST_BODY]
        if isinstance(body, dict | list) and body:
            try:
                return pydantic_core.to_json(body, serialize_unknown=True).decode()[:LONGEST_BODY]
            except ValueError:
                continue
    return ""


def retry_after(status: int, headers: Mapping[str, str], now: Any) -> float | None:
    """Seconds to wait: `retry-after-ms`, `Retry-After` (seconds, or a date: RFC 9110, 10.2.3), or the limit's reset."""
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None:
        return millis / 1000
    said = headers.get("retry-after")
    if said is not None:
        seconds = _number(said)
        if seconds is not None:
            return seconds
        then = _date(said)
        if then is not None:
            # By the answer's own date where it has one: the two clocks may differ by more than the wait.
            return max(0.0, then - (_date(headers.get("date")) or now()))
    if status not in (403, 429, 503):
        return None
    resets = [_reset(headers.get(name), now) for name in _reset_names(headers)]
    return max((reset for reset in resets if reset is not None), default=None)


def _reset_names(headers: Mapping[str, str]) -> list[str]:
    """Those of limits that are used up: `ratelimit-reset` (IETF draft), `x-ratelimit-reset` and one for each kind."""
    names: list[str] = []
    for name, value in headers.items():
        if "ratelimit-remaining" in name and value.strip() == "0":
            names.append(name.replace("remaining", "reset"))
    return names


def _reset(value: str | None, now: Any) -> float | None:
    number = _number(value)
    if number is not None:
        return max(0.0, number - now()) if number > EPOCH else number
    parts = _DURATION.findall(value or "")
    if parts and "".join(n + unit for n, unit in parts) == (value or "").strip():
        return sum(float(n) * _UNITS[unit] for n, unit in parts)
    return None


def _number(value: str | None) -> float | None:
    try:
        number = float((value or "").strip())
    except ValueError:
        return None
    return number if 0 <= number < 1e12 else None


def _date(value: str | None) -> float | None:
    try:
        return None if value is None else parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def is_from(seen: Seen, *packages: str) -> bool:
    """Whether the type comes from one of these packages."""
    return any(module_of(name) in packages for name in seen.names)
