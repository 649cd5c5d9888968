"""An answer of a provider in words of no protocol: what faults change, and what a stream is made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from ..model_server.reply import Finish, Reply
from ..model_server.request import ProtocolName
from ..model_server.wire import section, texts

__all__ = ["Read", "read"]

_Data = dict[str, Any]

_CUT: dict[str, Finish] = {
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "MAX_TOKENS": "length",
    "content_filter": "content_filter",
    "SAFETY": "content_filter",
    "refusal": "refusal",
}


class Read(NamedTuple):
    """An answer, as far as it can be said without the protocol."""

    reply: Reply
    left_out: str = ""
    """the first part that cannot: a picture, a search of the provider's own"""


def read(protocol: ProtocolName, body: Any) -> Read:
    """The answer. What is not of the protocol reads as an empty one, with all left out."""
    try:
        return _READERS[protocol](body)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        return Read(Reply(), f"an answer that is not of {protocol} ({type(error).__name__}: {error})")


def _chat(body: _Data) -> Read:
    choice, *others = body["choices"]
    message = choice["message"]
    odd = (
        "a second choice"
        if others
        else next((f"`{name}`" for name in ("audio", "images") if message.get(name)), "")
    )
    calls = tuple(
        (c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or ()
    )
    used = section(body, "usage")
    cached = section(used, "prompt_tokens_details").get("cached_tokens") or 0
    reply = Reply(
        text=message.get("refusal") or message.get("content") or "",
        calls=calls,
        finish="refusal" if message.get("refusal") else _CUT.get(choice.get("finish_reason") or ""),
        tokens=(used.get("prompt_tokens") or 0, used.get("completion_tokens") or 0),
        cached=cached,
    )
    return Read(_of(reply, body), odd)


def _responses(body: _Data) -> Read:
    reply, odd = Reply(), ""
    for item in body["output"]:
        match item["type"]:
            case "message":
                for part in item["content"]:
                    refused = part["type"] == "refusal"
                    said = part["refusal"] if refused else part["text"]
                    reply = replace(
                        reply, text=reply.text + said, finish="refusal" if refused else reply.finish
                    )
            case "function_call":
                reply = replace(reply, calls=(*reply.calls, (item["name"], item["arguments"])))
            case "reasoning":
                reply = replace(reply, reasoning=reply.reasoning + texts(item.get("summary")))
            case other:
                odd = odd or f"`{other}`"
    cut = section(body, "incomplete_details").get("reason")
    used = section(body, "usage")
    reply = replace(
        reply,
        finish=_CUT.get(cut or "") or reply.finish,
        tokens=(used.get("input_tokens") or 0, used.get("output_tokens") or 0),
        cached=section(used, "input_tokens_details").get("cached_tokens") or 0,
    )
    return Read(_of(reply, body), odd)


def _anthropic(body: _Data) -> Read:
    reply, odd = Reply(), ""
    for block in body["content"]:
        match block["type"]:
            case "text":
                reply = replace(reply, text=reply.text + block["text"])
            case "tool_use":
                told = json.dumps(block["input"], ensure_ascii=False)
                reply = replace(reply, calls=(*reply.calls, (block["name"], told)))
            case "thinking":
                reply = replace(reply, reasoning=reply.reasoning + block["thinking"])
            case other:
                odd = odd or f"`{other}`"
    used = section(body, "usage")
    cached = used.get("cache_read_input_tokens") or 0
    entered = (used.get("input_tokens") or 0) + cached + (used.get("cache_creation_input_tokens") or 0)
    tokens = entered, used.get("output_tokens") or 0
    finish = _CUT.get(body.get("stop_reason") or "")
    return Read(_of(replace(reply, finish=finish, tokens=tokens, cached=cached), body), odd)


def _gemini(body: _Data) -> Read:
    reply, odd = Reply(), ""
    candidates: list[_Data] = body.get("candidates") or []
    candidate: _Data = candidates[0] if candidates else {}
    for part in section(candidate, "content").get("parts") or ():
        if "functionCall" in part:
            told = json.dumps(section(part, "functionCall", "args"), ensure_ascii=False)
            reply = replace(reply, calls=(*reply.calls, (part["functionCall"]["name"], told)))
        elif part.get("thought"):
            reply = replace(reply, reasoning=reply.reasoning + part.get("text", ""))
        elif "text" in part:
            reply = replace(reply, text=reply.text + part["text"])
        else:
            odd = odd or f"`{next(iter(part), 'an empty part')}`"
    if len(candidates) > 1:
        odd = odd or "a second candidate"
    used = section(body, "usageMetadata")
    answered = (used.get("candidatesTokenCount") or 0) + (used.get("thoughtsTokenCount") or 0)
    tokens = used.get("promptTokenCount") or 0, answered
    finish = _CUT.get(candidate.get("finishReason") or "")
    cached = used.get("cachedContentTokenCount") or 0
    model = body.get("modelVersion")
    return Read(replace(reply, finish=finish, tokens=tokens, cached=cached, model=model), odd)


def _of(reply: Reply, body: _Data) -> Reply:
    return replace(reply, model=body.get("model"))


_READERS: dict[ProtocolName, Callable[[_Data], Read]] = {
    "openai-chat": _chat,
    "openai-responses": _responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
}
