"""`POST /v1/responses` (https://platform.openai.com/docs/api-reference/responses)."""

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
from .faults import Fault
from .openai_errors import failure, told
from .reply import Reply
from .request import Asked, Request
from .wire import CREATED, Event, pieces, section, texts

__all__ = ["broken", "events", "failure", "hollow", "read", "silent", "whole"]

_READ = {"model", "input", "instructions", "tools", "tool_choice", "text", "stream"}
_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}


def read(body: dict[str, Any], path: str) -> Asked:
    """What is asked. Items of the model that follow each other are one turn of it."""
    messages: list[Message] = []
    if body.get("instructions"):
        messages.append(SystemMessage(text=body["instructions"]))
    asked: str | list[dict[str, Any]] = body.get("input") or []
    names: dict[str, str] = {}
    for item in [{"role": "user", "content": asked}] if isinstance(asked, str) else asked:
        match item.get("type", "message"):
            case "message" if item["role"] in ("system", "developer"):
                messages.append(SystemMessage(text=texts(item["content"])))
            case "message" if item["role"] == "user":
                messages.append(UserMessage(text=texts(item["content"])))
            case "message":
                _go_on(messages, text=texts(item["content"]))
            case "function_call":
                names[item["call_id"]] = item["name"]
                call = ToolCall(id=item["call_id"], name=item["name"], arguments=item["arguments"])
                _go_on(messages, calls=(call,))
            case "function_call_output":
                key, text = item["call_id"], texts(item["output"])
                messages.append(ToolMessage(id=key, name=names.get(key, ""), text=text))
            case "reasoning":
                _go_on(messages)
            case _:
                pass  # tools that the provider runs itself
    return Asked(
        model=body["model"],
        messages=tuple(messages),
        tools=tuple(
            ToolSchema(name=t["name"], description=t.get("description"), arguments=t.get("parameters") or {})
            for t in body.get("tools") or ()
            if t["type"] == "function"
        ),
        forced_tool=section(body, "tool_choice").get("name"),
        output=_form(section(body, "text", "format")),
        settings={k: v for k, v in body.items() if k not in _READ},
        stream=bool(body.get("stream")),
    )


def _go_on(messages: list[Message], *, text: str = "", calls: tuple[ToolCall, ...] = ()) -> None:
    last = messages[-1] if messages else None
    if isinstance(last, AssistantMessage):
        messages.pop()
        text, calls = last.text + text, (*last.tool_calls, *calls)
    messages.append(AssistantMessage(text=text, tool_calls=calls))


def _form(asked: dict[str, Any]) -> OutputSchema | None:
    if not asked or asked["type"] == "text":
        return None
    return OutputSchema(
        name=asked.get("name", "object"),
        description=asked.get("description"),
        json_schema=asked.get("schema", {"type": "object"}),
    )


def whole(reply: Reply, request: Request) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    cut = _CUT.get(reply.finish or "")
    return {
        **_frame(reply, request),
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": cut} if cut else None,
        "output": list(_output(reply, request)),
        "usage": _usage(reply),
    }


def _frame(reply: Reply, request: Request) -> dict[str, Any]:
    return {
        "id": f"resp-{request.number}",
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": request.body.get("instructions"),
        "metadata": request.body.get("metadata") or {},
        "model": reply.model or request.model,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": request.body.get("tool_choice") or "auto",
        "tools": request.body.get("tools") or [],
        "usage": None,
    }


def _output(reply: Reply, request: Request) -> Iterator[dict[str, Any]]:
    n = request.number
    if reply.reasoning:
        summary = [{"type": "summary_text", "text": reply.reasoning}]
        yield {"type": "reasoning", "id": f"rs-{n}", "summary": summary, "encrypted_content": f"sealed-{n}"}
    if reply.text:
        part: dict[str, Any] = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        if reply.finish == "refusal":
            part = {"type": "refusal", "refusal": reply.text}
        status = "incomplete" if reply.finish in _CUT else "completed"
        yield {
            "type": "message",
            "id": f"msg-{n}",
            "role": "assistant",
            "status": status,
            "content": [part],
        }
    for i, (name, arguments) in enumerate(reply.calls):
        yield {
            "type": "function_call",
            "id": f"fc-{n}-{i}",
            "call_id": f"call-{n}-{i}",
            "name": name,
            "arguments": arguments,
            "status": "completed",
        }


def events(reply: Reply, request: Request) -> Iterator[Event]:
    """Each item is announced, told in pieces, and repeated whole; the last event has all of them."""
    for number, (name, data) in enumerate(_events(reply, request)):
        yield Event({"type": name, "sequence_number": number, **data}, name)


def _events(reply: Reply, request: Request) -> Iterator[tuple[str, dict[str, Any]]]:
    frame, done = _frame(reply, request), whole(reply, request)
    yield "response.created", {"response": frame}
    yield "response.in_progress", {"response": frame}
    for index, item in enumerate(done["output"]):
        at: dict[str, Any] = {"output_index": index}
        inside = {**at, "item_id": item["id"]}
        match item["type"]:
            case "message":
                yield (
                    "response.output_item.added",
                    {**at, "item": {**item, "status": "in_progress", "content": []}},
                )
                yield from _part(item["content"][0], {**inside, "content_index": 0})
            case "reasoning":
                yield "response.output_item.added", {**at, "item": {**item, "summary": []}}
                yield from _summary(item["summary"][0], {**inside, "summary_index": 0})
            case _:
                yield (
                    "response.output_item.added",
                    {**at, "item": {**item, "status": "in_progress", "arguments": ""}},
                )
                for piece in pieces(item["arguments"]):
                    yield "response.function_call_arguments.delta", {**inside, "delta": piece}
                whole_call = {"name": item["name"], "arguments": item["arguments"]}
                yield "response.function_call_arguments.done", {**inside, **whole_call}
        yield "response.output_item.done", {**at, "item": item}
    yield f"response.{done['status']}", {"response": done}


def _part(part: dict[str, Any], at: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    field = "refusal" if part["type"] == "refusal" else "text"
    name = "response.refusal" if field == "refusal" else "response.output_text"
    more: dict[str, Any] = {} if field == "refusal" else {"logprobs": []}
    yield "response.content_part.added", {**at, "part": {**part, field: ""}}
    for piece in pieces(part[field]):
        yield f"{name}.delta", {**at, "delta": piece, **more}
    yield f"{name}.done", {**at, field: part[field], **more}
    yield "response.content_part.done", {**at, "part": part}


def _summary(part: dict[str, Any], at: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "response.reasoning_summary_part.added", {**at, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield "response.reasoning_summary_text.delta", {**at, "delta": piece}
    yield "response.reasoning_summary_text.done", {**at, "text": part["text"]}
    yield "response.reasoning_summary_part.done", {**at, "part": part}


def hollow(request: Request) -> dict[str, Any]:
    """An answer without an item."""
    return whole(Reply(), request)


def silent(request: Request) -> list[Event]:
    """The events around a content that is not there."""
    return list(events(Reply(), request))


def broken(fault: Fault, request: Request) -> Event:
    """The event `error`; the error itself stands in an object of that name, as the service sends it."""
    error = told(fault, request)[1]
    return Event({"type": "error", "sequence_number": 2, "error": error}, "error")


def _usage(reply: Reply) -> dict[str, Any]:
    used_in, used_out = reply.tokens
    return {
        "input_tokens": used_in,
        "input_tokens_details": {"cached_tokens": reply.cached},
        "output_tokens": used_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used_in + used_out,
    }
