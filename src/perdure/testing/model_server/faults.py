"""What can go wrong at a provider, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal, cast, get_args

from ...runtime.conversation.messages import ToolSchema
from .reply import Reply
from .request import Request

__all__ = [
    "ALTERED",
    "BODIES",
    "FAULTS",
    "REFUSALS",
    "TRANSPORT",
    "Fault",
    "FaultKind",
    "Refusal",
    "altered",
    "breaks",
    "retry_header",
]

Refusal = Literal[
    "rate_limited",
    "quota_exhausted",
    "server_error",
    "bad_gateway",
    "unavailable",
    "gateway_timeout",
    "overloaded",
    "bad_key",
    "forbidden",
    "no_such_model",
    "bad_request",
    "too_large",
    "context_exceeded",
    "prompt_refused",
    "status",
]
"""The provider answers with an HTTP error, in its own words and status. (`bad_gateway` is the page of a proxy.)"""

Transport = Literal["hang", "slow", "dropped", "reset", "cut_off", "stalled"]
"""The connection misbehaves: no answer until `release()`; a first byte after `delay`; closed, or reset, without an
answer; closed in the middle of the body; half a body and then nothing."""

Body = Literal["half_body", "no_json", "wrong_schema", "empty", "error_in_stream"]
"""HTTP is in order, what it carries is not: half of a JSON, or a stream that ends without its end; a page of HTML; JSON
of another shape; an answer without choices; an error in the middle of a stream."""

Altered = Literal["refused", "filtered", "cut_short", "unknown_tool", "bad_arguments", "wrong_types", "blank"]
"""The protocol is in order, what the model says is not: it refuses; it is filtered; it ran out of tokens; it calls a
tool that is not there, or with arguments that are no JSON, or of other types than the schema's; it says nothing."""

FaultKind = Literal[Refusal, Transport, Body, Altered]
"""All faults."""

REFUSALS: frozenset[str] = frozenset(get_args(Refusal))
"""See `Refusal`."""
TRANSPORT: frozenset[str] = frozenset(get_args(Transport))
"""See `Transport`."""
BODIES: frozenset[str] = frozenset(get_args(Body))
"""See `Body`."""
ALTERED: frozenset[str] = frozenset(get_args(Altered))
"""See `Altered`."""
FAULTS: tuple[str, ...] = (*get_args(Refusal), *get_args(Transport), *get_args(Body), *get_args(Altered))
"""The names of all faults, in the order of the documentation."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, to stand in a script where a reply would, or in the server's `faults`.

    Raises `ValueError` where no fault has this name.
    """

    kind: FaultKind
    retry_after: float | datetime | None = None
    """of `rate_limited`, `unavailable` and `overloaded`: seconds, or a point in time, which is told as an HTTP date.
    Gemini tells seconds in the body (`RetryInfo`), as the real one does, and has the header only for a date"""
    message: str | None = None
    """instead of the provider's words"""
    status: int | None = None
    """instead of the provider's HTTP status; needed for the kind `status`"""
    after: int | None = None
    """how many events of a stream arrive before it breaks. None: half of them"""
    delay: float = 0
    """seconds before the first byte (of `slow`: 1, unless told)"""

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"there is no fault `{self.kind}`; there are {', '.join(FAULTS)}")
        if self.kind == "status" and self.status is None:
            raise ValueError("the fault `status` needs a `status`, as in `Fault('status', status=418)`")


def breaks(status: int, text: str = "broken on purpose") -> Fault:
    """Answer with an HTTP error in the protocol's form."""
    return Fault("status", status=status, message=text)


def retry_header(value: float | datetime) -> str:
    """`Retry-After`, by RFC 9110 10.2.3: whole seconds, rounded up, or an HTTP date."""
    if isinstance(value, datetime):
        if value.utcoffset() != timedelta(0):
            raise ValueError(f"`retry_after` must be in UTC, as HTTP dates are, and is `{value.isoformat()}`")
        return format_datetime(value, usegmt=True)
    return str(-int(-value // 1))


def altered(fault: Fault, reply: Reply, request: Request) -> Reply:
    """The reply as a model would give it that has the fault."""
    reply = replace(reply, recorded=None)
    match fault.kind:
        case "refused":
            words = fault.message or "I'm sorry, but I can't help with that."
            return replace(reply, text=words, calls=(), structured=False, finish="refusal")
        case "filtered":
            return replace(reply, text="", calls=(), structured=False, finish="content_filter")
        case "cut_short":
            return replace(reply, text=_half(reply.text), calls=(), structured=False, finish="length")
        case "blank":
            return replace(reply, text="", calls=(), structured=False, finish="stop")
        case "unknown_tool":
            return replace(reply, text="", calls=(("no_such_tool", "{}"),), structured=False)
        case "bad_arguments":
            return replace(reply, text="", calls=_bad_calls(reply, request), structured=False)
        case "wrong_types":
            name, arguments = _wrong_call(request)
            return replace(reply, text="", calls=((name, arguments),), structured=False)
        case _:
            return reply


def _half(text: str) -> str:
    return text[: len(text) // 2]


def _bad_calls(reply: Reply, request: Request) -> tuple[tuple[str, str], ...]:
    """The calls of the reply, or else of the first tool, each with half of its arguments."""
    calls = reply.calls or ((_first_tool(request).name, '{"unfinished": "argu'),)
    return tuple((name, _half(arguments) if reply.calls else arguments) for name, arguments in calls)


def _first_tool(request: Request) -> ToolSchema:
    if request.tools:
        return request.tools[0]
    return ToolSchema(
        name="no_such_tool", arguments={"type": "object", "properties": {"q": {"type": "string"}}}
    )


def _wrong_call(request: Request) -> tuple[str, str]:
    tool = _first_tool(request)
    properties = cast("Mapping[str, Mapping[str, Any]]", tool.arguments.get("properties", {}))
    return tool.name, json.dumps({name: _wrong_value(schema) for name, schema in properties.items()})


def _wrong_value(schema: Mapping[str, Any]) -> Any:
    text = "string" in json.dumps(schema.get("type", "")).lower()
    return {"not": "a text"} if text else "not of this type"
