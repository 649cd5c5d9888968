"""What a tool of the OpenAI Agents SDK leaves behind: its output, and what it changed in the run's context.

Tools write to the context object that the caller gives (`ctx.context.seat = "12A"`). A recorded call is not made again,
so what it changed there is recorded with its result, field by field, and set again on replay.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, MutableMapping
from typing import Any, NamedTuple, cast

import pydantic_core
from agents.tool import ValidToolOutputPydanticModels
from pydantic import BaseModel, TypeAdapter, ValidationError

from ...core.codec import Shape
from ...core.errors import Unserialisable

__all__ = ["Outcome", "OutcomeShape", "changes", "restore", "taken"]

_CONTEXT = "perdure.context"


class Outcome(NamedTuple):
    """Of one call."""

    output: Any
    changes: Mapping[str, Any]
    """fields of the context, as JSON says them"""


class OutcomeShape(Shape[Any]):
    """The output as the tool's annotation says, else as JSON; what neither can say as the text that the model gets."""

    __slots__ = ("_declared",)

    def __init__(self, declared: Shape[Any] | None) -> None:
        self.annotation = Any
        self._is_text = False
        self._declared = declared
        self.dump_json = self._dump
        self.load = self._load
        self.schema = dict

    def _dump(self, value: Any, **_: Any) -> bytes:
        # What an operator settles a call with is the bare output.
        outcome = value if isinstance(value, Outcome) else Outcome(value, {})
        data = self._output(outcome.output)
        if not outcome.changes:
            return data
        return (
            b'{"'
            + _CONTEXT.encode()
            + b'":'
            + pydantic_core.to_json(outcome.changes)
            + b',"output":'
            + data
            + b"}"
        )

    def _output(self, value: Any) -> bytes:
        if self._declared is not None:
            try:
                return self._declared.round_trip(value)[0]
            except Unserialisable:
                pass  # the SDK does not hold a tool to its annotation
        try:
            return pydantic_core.to_json(value)
        except (pydantic_core.PydanticSerializationError, ValueError, TypeError):
            return pydantic_core.to_json(str(value))

    def _load(self, data: bytes) -> Outcome:
        told: Any = pydantic_core.from_json(data)
        changed: Mapping[str, Any] = {}
        if isinstance(told, dict) and _CONTEXT in told:
            found = cast("dict[str, Any]", told)
            changed, told = found[_CONTEXT], found["output"]
            data = pydantic_core.to_json(told)
        if self._declared is not None:
            try:
                return Outcome(self._declared.load(data), changed)
            except ValidationError:
                pass
        return Outcome(_structured(told), changed)


_STRUCTURED: TypeAdapter[Any] = TypeAdapter(ValidToolOutputPydanticModels)


def _structured(told: Any) -> Any:
    """Text, images and files as the SDK has them, where the output was one."""
    if isinstance(told, list):
        return [_structured(part) for part in cast("list[Any]", told)]
    if not isinstance(told, dict):
        return told
    found = cast("dict[str, Any]", told)
    if found.get("type") not in ("text", "image", "file"):
        return found
    try:
        return _STRUCTURED.validate_python(found)
    except ValidationError:
        return found


# the context ---------------------------------------------------------------------------------------------------------


def _fields(context: Any) -> Mapping[str, Any]:
    if isinstance(context, Mapping):
        return {k: v for k, v in cast("Mapping[Any, Any]", context).items() if isinstance(k, str)}
    return {k: v for k, v in getattr(context, "__dict__", {}).items() if not k.startswith("_")}


def taken(context: Any) -> dict[str, bytes]:
    """The context as it is, by field. What JSON cannot say (a connection) is left out."""
    found: dict[str, bytes] = {}
    for name, value in _fields(context).items():
        try:
            found[name] = pydantic_core.to_json(value)
        except (pydantic_core.PydanticSerializationError, ValueError, TypeError, RecursionError):
            continue
    return found


def changes(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> dict[str, Any]:
    """The fields that have another value since."""
    return {k: pydantic_core.from_json(v) for k, v in after.items() if before.get(k) != v}


def restore(context: Any, changed: Mapping[str, Any]) -> None:
    """Set the fields as the call had set them."""
    if not changed:
        return
    if isinstance(context, MutableMapping):
        cast("MutableMapping[str, Any]", context).update(changed)
        return
    typed = isinstance(context, BaseModel) or dataclasses.is_dataclass(context)
    hints = typing.get_type_hints(cast("Any", type(context))) if typed else {}
    for name, value in changed.items():
        setattr(context, name, TypeAdapter(hints[name]).validate_python(value) if name in hints else value)
