"""`POST /v1/messages` (https://docs.anthropic.com/en/api/messages)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...runtime.conversation.messages import (
    AssistantMessage,
    Message,
    OutputSchema,
    SystemMessage,
    ToolCall,
    ToolMessage,
    ToolSchema,
    UserMessage,
)
from .faults import Fault, retry_header
from .reply import Reply
from .request import Asked, Request
from .wire import Event, Failure, json_or_text, pieces, section, texts

__all__ = ["broken", "events", "failure", "hollow", "read", "silent", "whole"]

_READ = {"model", "messages", "system", "tools", "tool_choice", "stream"}
_STOP = {"length": "max_tokens", "content_filter": "refusal", "refusal": "refusal", "tool_call": "tool_use"}


def read(body: dict[str, Any], path: str) -> Asked:
    """What is asked. Results of tools come first in a message of the user, and are messages of their own here."""
    messages: list[Message] = []
    if body.get("system"):
        messages.append(SystemMessage(text=texts(body["system"])))
    names: dict[str, str] = {}
    for said in body["messages"]:
        content = said["content"]
        blocks: list[dict[str, Any]] = (
            [{"type": "text", "text": content}] if isinstance(content, str) else content
        )
        text = "".join(b["text"] for b in blocks if b["type"] == "text")
        if said["role"] == "assistant":
            calls = [b for b in blocks if b["type"] == "tool_use"]
            names.update({b["id"]: b["name"] for b in calls})
            asked = (ToolCall(id=b["id"], name=b["name"], arguments=b["input"]) for b in calls)
            messages.append(AssistantMessage(text=text, tool_calls=tuple(asked)))
            continue
        results = [b for b in blocks if b["type"] == "tool_result"]
        for b in results:
            key = b["tool_use_id"]
            messages.append(
                ToolMessage(
                    id=key,
                    name=names.get(key, ""),
                    text=texts(b.get("content")),
                    failed=bool(b.get("is_error")),
                )
            )
        if text or not results:
            messages.append(UserMessage(text=text))
    form = section(body, "output_config", "format") or section(body, "output_format")
    return Asked(
        model=body["model"],
        messages=tuple(messages),
        tools=tuple(
            ToolSchema(name=t["name"], description=t.get("description"), arguments=t["input_schema"])
            for t in body.get("tools") or ()
            if "input_schema" in t
        ),
        forced_tool=section(body, "tool_choice").get("name"),
        output=OutputSchema(name="object", json_schema=form["schema"]) if form else None,
        settings={k: v for k, v in body.items() if k not in _READ},
        stream=bool(body.get("stream")),
    )


def whole(reply: Reply, request: Request) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    return {
        "id": f"msg-{request.number}",
        "type": "message",
        "role": "assistant",
        "model": reply.model or request.model,
        "content": list(_blocks(reply, request)),
        "stop_reason": _stop(reply),
        "stop_details": _stop_details(reply),
        "stop_sequence": None,
        "usage": _usage(reply),
    }


def _blocks(reply: Reply, request: Request) -> Iterator[dict[str, Any]]:
    n = request.number
    if reply.reasoning:
        yield {"type": "thinking", "thinking": reply.reasoning, "signature": f"sealed-{n}"}
    if reply.text:
        yield {"type": "text", "text": reply.text}
    for i, (name, arguments) in enumerate(reply.calls):
        yield {"type": "tool_use", "id": f"toolu-{n}-{i}", "name": name, "input": json_or_text(arguments)}


def events(reply: Reply, request: Request) -> Iterator[Event]:
    """Blocks one after the other, each in pieces."""
    for name, data in _events(reply, request):
        yield Event({"type": name, **data}, name)


def _events(reply: Reply, request: Request) -> Iterator[tuple[str, dict[str, Any]]]:
    message = whole(reply, request)
    begun = {**message["usage"], "output_tokens": 1}
    yield (
        "message_start",
        {"message": {**message, "content": [], "stop_reason": None, "stop_details": None, "usage": begun}},
    )
    yield "ping", {}
    calls = iter(reply.calls)
    for index, block in enumerate(message["content"]):
        start, deltas = _told(block, next(calls)[1] if block["type"] == "tool_use" else "")
        yield "content_block_start", {"index": index, "content_block": start}
        for delta in deltas:
            yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    ended = {name: message[name] for name in ("stop_reason", "stop_details", "stop_sequence")}
    yield "message_delta", {"delta": ended, "usage": {"output_tokens": reply.tokens[1]}}
    yield "message_stop", {}


def _told(block: dict[str, Any], arguments: str) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """How a block begins, and what comes after: the text of arguments as it is, be it JSON or not."""
    match block["type"]:
        case "text":
            words = ({"type": "text_delta", "text": piece} for piece in pieces(block["text"]))
            return {"type": "text", "text": ""}, words
        case "thinking":
            thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {"type": "thinking", "thinking": "", "signature": ""}, iter([*thoughts, signed])
        case _:
            parts = ({"type": "input_json_delta", "partial_json": piece} for piece in pieces(arguments))
            return {**block, "input": {}}, parts


def hollow(request: Request) -> dict[str, Any]:
    """An answer without a block."""
    return whole(Reply(), request)


def silent(request: Request) -> list[Event]:
    """The events around a content that is not there."""
    return list(events(Reply(), request))


def broken(fault: Fault, request: Request) -> Event:
    """The event `error`."""
    _, error = _words(fault, request)
    return Event({"type": "error", "error": error, "request_id": _request_id(request)}, "error")


def failure(fault: Fault, request: Request) -> Failure:
    """The HTTP error of a fault (https://docs.anthropic.com/en/api/errors)."""
    if fault.kind == "bad_gateway":  # the proxy's, not the provider's
        page = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
        return Failure(fault.status or 502, fault.message or page)
    status, error = _words(fault, request)
    headers = {"request-id": _request_id(request)}
    if fault.retry_after is not None:
        headers["Retry-After"] = retry_header(fault.retry_after)
    return Failure(
        fault.status or status, {"type": "error", "error": error, "request_id": _request_id(request)}, headers
    )


def _request_id(request: Request) -> str:
    return f"req_{request.number:024}"


def _words(fault: Fault, request: Request) -> tuple[int, dict[str, Any]]:
    status, kind, words = _said(fault, request)
    return status, {"type": kind, "message": fault.message or words}


def _said(fault: Fault, request: Request) -> tuple[int, str, str]:
    """Status, type, message."""
    invalid = "invalid_request_error"
    match fault.kind:
        case "rate_limited":
            return (
                429,
                "rate_limit_error",
                "This request would exceed your organization's rate limit of 50,000 input tokens per minute "
                f"(org: scripted, model: {request.model}). For details, refer to: https://docs.claude.com/en/api/"
                "rate-limits. You can see the response headers for current usage. Please reduce the prompt length or "
                "the maximum tokens requested, or try again later.",
            )
        case "quota_exhausted":
            return (
                400,
                invalid,
                "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade "
                "or purchase credits.",
            )
        case "overloaded" | "error_in_stream":
            return 529, "overloaded_error", "Overloaded"
        case "unavailable":
            return 503, "api_error", "Service unavailable"
        case "gateway_timeout":
            return 504, "timeout_error", "Request timed out"
        case "bad_key":
            return 401, "authentication_error", "invalid x-api-key"
        case "forbidden":
            words = "Your API key does not have permission to use the specified resource."
            return 403, "permission_error", words
        case "no_such_model":
            return 404, "not_found_error", f"model: {request.model}"
        case "too_large":
            return 413, "request_too_large", "Request exceeds the maximum size"
        case "context_exceeded":
            return 400, invalid, "prompt is too long: 215034 tokens > 200000 maximum"
        case "prompt_refused":
            return 400, invalid, "Output blocked by content filtering policy"
        case "bad_request":
            words = "max_tokens: 999999 > 64000, which is the maximum allowed number of output tokens for "
            return 400, invalid, words + request.model
        case "status":
            return 500, "scripted", "broken on purpose"
        case _:
            return 500, "api_error", "Internal server error"


def _stop(reply: Reply) -> str:
    default = "tool_use" if reply.calls else "end_turn"
    return _STOP.get(reply.finish or "", default)


def _stop_details(reply: Reply) -> dict[str, Any] | None:
    if _stop(reply) != "refusal":
        return None
    return {"type": "refusal", "category": None, "explanation": reply.text or None}


def _usage(reply: Reply) -> dict[str, Any]:
    """Anthropic counts what it read from its cache apart from the rest."""
    used_in, used_out = reply.tokens
    return {
        "input_tokens": used_in - reply.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": reply.cached,
        "output_tokens": used_out,
        "service_tier": "standard",
    }
