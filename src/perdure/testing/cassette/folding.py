"""A streamed answer as the same provider would have given it whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from ..model_server.request import ProtocolName
from ..model_server.wire import json_or_text, section

__all__ = ["folded"]

Events = Sequence[tuple[str | None, Any]]

_Data = dict[str, Any]


def folded(protocol: ProtocolName, events: Events) -> _Data | None:
    """The body of the answer. None where the stream has no end, or is not of this protocol."""
    data = [cast("_Data", told) for _, told in events if isinstance(told, dict)]
    try:
        return _FOLDS[protocol](data)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError):
        return None


def _chat(chunks: list[_Data]) -> _Data | None:
    made: _Data = {**chunks[0], "object": "chat.completion", "choices": [], "usage": None}
    choices: dict[int, _Data] = {}
    for chunk in chunks:
        if chunk.get("usage"):
            made["usage"] = chunk["usage"]
        for told in chunk.get("choices") or ():
            choice = choices.setdefault(
                told["index"],
                {
                    "index": told["index"],
                    "message": {"role": "assistant", "content": None},
                    "finish_reason": None,
                },
            )
            _add(choice["message"], told.get("delta") or {})
            if told.get("finish_reason"):
                choice["finish_reason"] = told["finish_reason"]
    made["choices"] = [choices[i] for i in sorted(choices)]
    for choice in made["choices"]:
        for call in choice["message"].get("tool_calls") or ():
            call.pop("index", None)
    return made if choices and all(choice["finish_reason"] for choice in choices.values()) else None


def _add(message: _Data, delta: _Data) -> None:
    """Texts are joined, lists are merged by the `index` of their items, all else is taken as it comes."""
    for name, value in delta.items():
        before = message.get(name)
        if isinstance(value, str) and isinstance(before, str) and name not in ("role", "id", "type", "name"):
            message[name] = before + value
        elif isinstance(value, dict) and isinstance(before, dict):
            _add(cast("_Data", before), cast("_Data", value))
        elif isinstance(value, list):
            items: list[_Data] = (
                message.setdefault(name, []) if before is None else cast("list[_Data]", before)
            )
            for item in cast("list[_Data]", value):
                known = next((i for i in items if i.get("index") == item["index"]), None)
                if known is None:
                    items.append(_copied(item))
                else:
                    _add(known, item)
        elif value is not None:
            message[name] = _copied(cast("Any", value))


def _copied(value: Any) -> Any:
    return {k: _copied(v) for k, v in cast("_Data", value).items()} if isinstance(value, dict) else value


def _responses(events: list[_Data]) -> _Data | None:
    ends = ("response.completed", "response.incomplete", "response.failed")
    return next((event["response"] for event in reversed(events) if event.get("type") in ends), None)


def _anthropic(events: list[_Data]) -> _Data | None:
    made: _Data = {}
    blocks: dict[int, _Data] = {}
    arguments: dict[int, str] = {}
    ended = False
    for event in events:
        match event.get("type"):
            case "message_start":
                made = {**event["message"]}
            case "content_block_start":
                blocks[event["index"]] = {**event["content_block"]}
            case "content_block_delta":
                _grow(blocks[event["index"]], event["delta"], event["index"], arguments)
            case "message_delta":
                made.update(event["delta"])
                made["usage"] = {**(made.get("usage") or {}), **(event.get("usage") or {})}
            case "message_stop":
                ended = True
            case _:
                pass
    for index, text in arguments.items():
        blocks[index]["input"] = json_or_text(text)
    made["content"] = [blocks[i] for i in sorted(blocks)]
    return made if ended else None


def _grow(block: _Data, delta: _Data, index: int, arguments: dict[int, str]) -> None:
    match delta["type"]:
        case "input_json_delta":
            arguments[index] = arguments.get(index, "") + delta["partial_json"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        case _:
            for name, value in delta.items():
                if name != "type":
                    block[name] = (block.get(name) or "") + value


def _gemini(chunks: list[_Data]) -> _Data | None:
    made: _Data = {}
    parts: list[_Data] = []
    candidate: _Data = {}
    for chunk in chunks:
        made.update(chunk)
        for told in chunk.get("candidates") or ():
            if told.get("index", 0):
                return None  # several candidates in one stream: nobody asks for that
            candidate.update(told)
            for part in section(told, "content").get("parts") or ():
                if part != {"text": ""}:
                    _part(parts, part)
    candidate["content"] = {"role": "model", "parts": parts}
    made["candidates"] = [candidate]
    return made if candidate.get("finishReason") or made.get("promptFeedback") else None


def _part(parts: list[_Data], part: _Data) -> None:
    """Pieces of one text are joined; what carries anything beside its text stays a part of its own."""
    plain: Iterable[str] = {"text", "thought"}
    last = parts[-1] if parts else {}
    joins = "text" in last and "text" in part and not (last.keys() | part.keys()) - set(plain)
    if joins and last.get("thought") == part.get("thought"):
        last["text"] += part["text"]
    else:
        parts.append(dict(part))


_FOLDS: dict[ProtocolName, Callable[[list[_Data]], _Data | None]] = {
    "openai-chat": _chat,
    "openai-responses": _responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
}
