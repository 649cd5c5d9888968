"""`POST /v1/chat/completions` (https://platform.openai.com/docs/api-reference/chat)."""

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

_READ = {"model", "messages", "tools", "tool_choice", "response_format", "stream"}
_FINISH = {"length": "length", "content_filter": "content_filter", "tool_call": "tool_calls"}


def read(body: dict[str, Any], path: str) -> Asked:
    """What is asked."""
    messages: list[Message] = []
    names: dict[str, str] = {}
    for said in body["messages"]:
        text = texts(said.get("content"))
        match said["role"]:
            case "system" | "developer":
                messages.append(SystemMessage(text=text))
            case "assistant":
                calls: list[ToolCall] = []
                for asked in said.get("tool_calls") or ():
                    function = asked["function"]
                    names[asked["id"]] = function["name"]
                    calls.append(
                        ToolCall(id=asked["id"], name=function["name"], arguments=function["arguments"])
                    )
                messages.append(AssistantMessage(text=text, tool_calls=tuple(calls)))
            case "tool":
                key = said["tool_call_id"]
                messages.append(ToolMessage(id=key, name=names.get(key, ""), text=text))
            case _:
                messages.append(UserMessage(text=text))
    return Asked(
        model=body["model"],
        messages=tuple(messages),
        tools=tuple(
            ToolSchema(name=f["name"], description=f.get("description"), arguments=f.get("parameters") or {})
            for f in (tool["function"] for tool in body.get("tools") or () if tool["type"] == "function")
        ),
        forced_tool=section(body, "tool_choice", "function").get("name"),
        output=_form(section(body, "response_format")),
        settings={k: v for k, v in body.items() if k not in _READ},
        stream=bool(body.get("stream")),
    )


def _form(asked: dict[str, Any]) -> OutputSchema | None:
    if not asked or asked["type"] == "text":
        return None
    schema = section(asked, "json_schema")
    return OutputSchema(
        name=schema.get("name", "object"),
        description=schema.get("description"),
        json_schema=schema.get("schema", {"type": "object"}),
    )


def whole(reply: Reply, request: Request) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    refused = reply.finish == "refusal"
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if refused else reply.text or None,
        "refusal": reply.text if refused else None,
    }
    if reply.calls:
        message["tool_calls"] = [call for _, call in _calls(reply, request)]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(reply)}
    return {
        **_frame(reply, request, "chat.completion"),
        "choices": [choice],
        "usage": _usage(reply),
    }


def events(reply: Reply, request: Request) -> Iterator[Event]:
    """Chunks, of which the last but one has the usage where the client asked for it, and `[DONE]`."""
    frame = _frame(reply, request, "chat.completion.chunk")
    with_usage = bool(section(request.body, "stream_options").get("include_usage"))

    def chunk(delta: dict[str, Any], finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return Event({**frame, "choices": [choice], **({"usage": None} if with_usage else {})})

    field = "refusal" if reply.finish == "refusal" else "content"
    yield chunk({"role": "assistant", "content": "" if reply.text or not reply.calls else None})
    for piece in pieces(reply.text):
        yield chunk({field: piece})
    for index, call in _calls(reply, request):
        function = call["function"]
        yield chunk({"tool_calls": [{"index": index, **call, "function": {**function, "arguments": ""}}]})
        for piece in pieces(function["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, _finish(reply))
    if with_usage:
        yield Event({**frame, "choices": [], "usage": _usage(reply)})
    yield Event("[DONE]")


def hollow(request: Request) -> dict[str, Any]:
    """An answer without choices."""
    return {**whole(Reply(), request), "choices": []}


def silent(request: Request) -> list[Event]:
    """One chunk without choices."""
    return [Event({**_frame(Reply(), request, "chat.completion.chunk"), "choices": []}), Event("[DONE]")]


def broken(fault: Fault, request: Request) -> Event:
    """An error in the place of a chunk."""
    return Event({"error": told(fault, request)[1]})


def _frame(reply: Reply, request: Request, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{request.number}",
        "object": kind,
        "created": CREATED,
        "model": reply.model or request.model,
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
    }


def _finish(reply: Reply) -> str:
    default = "tool_calls" if reply.calls else "stop"
    return _FINISH.get(reply.finish or "", default)


def _calls(reply: Reply, request: Request) -> Iterator[tuple[int, dict[str, Any]]]:
    for i, (name, arguments) in enumerate(reply.calls):
        function = {"name": name, "arguments": arguments}
        yield i, {"id": f"call-{request.number}-{i}", "type": "function", "function": function}


def _usage(reply: Reply) -> dict[str, Any]:
    used_in, used_out = reply.tokens
    return {
        "prompt_tokens": used_in,
        "completion_tokens": used_out,
        "total_tokens": used_in + used_out,
        "prompt_tokens_details": {"cached_tokens": reply.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }
