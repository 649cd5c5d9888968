"""What LangChain's models and tools return, as JSON for the journal: messages, commands, and values of known types.

    {"$": "message", ...}      a message, by its role, without what is at its default
    {"$": "command", ...}      a LangGraph `Command`: where to go, what to update
    {"$": "module:Name", "value": ...}   a value of a class, read back only where that class is loaded already

Everything else is plain JSON. Nothing is pickled, and a journal never makes a module be imported.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pydantic_core
from langchain_core.messages import BaseMessage, messages_from_dict
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.types import Command, Send
from pydantic import TypeAdapter

from ...core.codec import PLAIN, Shape
from ...core.errors import Unserialisable

__all__ = ["CHAT", "VALUES", "Interrupted", "Kept", "dump", "load"]

_KIND = "$"
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A tool asked something by `interrupt(...)` instead of finishing: what it asked."""

    questions: list[Any]


def dump(value: Any) -> Any:
    """JSON types that say what `value` is. Raises `Unserialisable`."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, BaseMessage):
        kept = value.model_dump(mode="json", exclude_defaults=True, exclude={"type"})
        return {_KIND: "message", "type": value.type, **kept, "content": kept.get("content", "")}
    if isinstance(value, Command):
        command = cast("Any", value)
        told: dict[str, Any] = {
            "goto": dump(command.goto),
            "update": dump(command.update),
            "graph": command.graph,
        }
        return {_KIND: "command", **{k: v for k, v in told.items() if v not in (None, [])}}
    if isinstance(value, Send):
        return {_KIND: "send", "node": value.node, "arg": dump(value.arg)}
    if isinstance(value, Interrupted):
        return {_KIND: "interrupted", "questions": [dump(q) for q in value.questions]}
    if type(value) is dict:
        items = cast("dict[Any, Any]", value)
        if all(type(k) is str for k in items) and _KIND not in items:
            return {k: dump(v) for k, v in items.items()}
        return {_KIND: "pairs", "value": [[dump(k), dump(v)] for k, v in items.items()]}
    if type(value) is list:
        return [dump(v) for v in cast("list[Any]", value)]
    if type(value) is tuple:
        return {_KIND: "tuple", "value": [dump(v) for v in cast("tuple[Any, ...]", value)]}
    return _dump_other(value)


def _dump_other(value: Any) -> Any:
    kind: type[Any] = cast("type[Any]", type(value))
    name = f"{kind.__module__}:{kind.__qualname__}"
    if _loaded(name) is not kind:
        raise Unserialisable(
            f"a value of type `{name}` cannot be written to the journal: its class is not found by that name. Return "
            "JSON, a message, or a pydantic model or dataclass that stands at the top of a module"
        )
    try:
        return {_KIND: name, "value": TypeAdapter(kind).dump_python(value, mode="json", warnings="error")}
    except Exception as error:
        raise Unserialisable(
            f"a value of type `{name}` cannot be written to the journal: {str(error)[:200]}. Return JSON, a message, a "
            "pydantic model or a dataclass"
        ) from error


def load(told: Any) -> Any:
    """What `dump` was given. Raises `ValueError`."""
    if isinstance(told, list):
        return [load(v) for v in cast("list[Any]", told)]
    if not isinstance(told, dict):
        return told
    fields = cast("dict[str, Any]", told)
    kind = fields.get(_KIND)
    match kind:
        case None:
            return {k: load(v) for k, v in fields.items()}
        case "message":
            data = {k: v for k, v in fields.items() if k != _KIND}
            return messages_from_dict([{"type": fields["type"], "data": data}])[0]
        case "command":
            return Command(**{k: load(v) for k, v in fields.items() if k != _KIND})
        case "send":
            return Send(fields["node"], load(fields["arg"]))
        case "interrupted":
            return Interrupted([load(q) for q in fields["questions"]])
        case "pairs":
            return {load(k): load(v) for k, v in fields["value"]}
        case "tuple":
            return tuple(load(v) for v in fields["value"])
        case _:
            found = _loaded(kind)
            if found is None:
                raise ValueError(f"the class `{kind}` of a recorded value is not loaded")
            return TypeAdapter(found).validate_json(pydantic_core.to_json(fields["value"]))


def _loaded(name: str) -> type[Any] | None:
    module, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def _dump_json(value: Any) -> bytes:
    return pydantic_core.to_json(dump(value))


class _Values(Shape[Any]):
    """Results of tools."""

    __slots__ = ()

    def __init__(self) -> None:
        self.annotation = Any
        self._is_text = False
        self.dump_json = _dump_json
        self.load = lambda data: load(pydantic_core.from_json(data))
        self.schema = dict

    def round_trip(self, value: Any) -> tuple[bytes, Any]:
        data, told = PLAIN.round_trip(dump(value))
        return data, load(told)


VALUES = _Values()


class _Chat(_Values):
    """What a chat model gives for one list of messages."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.load = lambda data: _chat(pydantic_core.from_json(data))

    def round_trip(self, value: Any) -> tuple[bytes, Any]:
        result: ChatResult = value
        told: dict[str, Any] = {
            "said": [_without(message=g.message, info=g.generation_info) for g in result.generations]
        }
        if result.llm_output:
            told["output"] = dump(result.llm_output)
        data, again = PLAIN.round_trip(told)
        return data, _chat(again)


class Kept(Shape[Any]):
    """Another shape, for one value: what was written of it, or read, is kept, and not written a second time."""

    __slots__ = ("_of", "data")

    def __init__(self, of: Shape[Any]) -> None:
        self._of = of
        self.annotation = of.annotation
        self._is_text = False
        self.dump_json = of.dump_json
        self.schema = of.schema
        self.data: bytes | None = None

    def round_trip(self, value: Any) -> tuple[bytes, Any]:
        """As the other's."""
        self.data, again = self._of.round_trip(value)
        return self.data, again

    # A method, and no attribute as of its kind: that would hold the shape itself, and it is made for one value.
    def load(self, data: bytes) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the other's."""
        self.data = data
        return self._of.load(data)


def _without(*, message: BaseMessage, info: Mapping[str, Any] | None) -> dict[str, Any]:
    said = {"message": dump(message)}
    return {**said, "info": dump(dict(info))} if info else said


def _chat(told: Any) -> ChatResult:
    said = [
        ChatGeneration(message=load(g["message"]), generation_info=load(g.get("info"))) for g in told["said"]
    ]
    return ChatResult(generations=said, llm_output=load(told.get("output")))


CHAT = _Chat()
