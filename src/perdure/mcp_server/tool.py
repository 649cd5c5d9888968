"""One tool of the server: its name and words, who may use it, its schemas, and what it does.

@tool(title="Cancel a run", role=Role.OPERATOR, writes="destructive")
async def cancel_run(asked: Cancelling, asking: Asking) -> RunTold:
    '''Words for a model: when to use it, and what comes back.'''
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args, get_type_hints

import mcp_types as types
from pydantic import BaseModel, ConfigDict, ValidationError

from ..access import Caller, Role
from ..core.errors import InvalidInput
from .asking import Asking

__all__ = ["Given", "Served", "Told", "Writes", "tool"]

Writes: TypeAlias = Literal["nothing", "adds", "destructive"]
"""What a tool does to the world."""

Told: TypeAlias = "BaseModel | Mapping[str, Any] | types.CallToolResult | types.InputRequiredResult"
"""What a tool answers with. A mapping may also be a result of an extension, by its `resultType`."""


class Given(BaseModel):
    """The arguments of a tool. One that it does not know is a mistake of whoever calls it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A tool as it is listed, and as it is called."""

    name: str
    role: Role
    payloads: bool = False
    """whether it tells what calls were given and returned, and so is for those who may see that"""
    listed: types.Tool
    call: Callable[[Mapping[str, Any], Asking], Awaitable[Told]]
    """with arguments as they came; raises what is told to the model"""

    def allows(self, caller: Caller) -> bool:
        """Whether somebody may use it. For others it is not listed, and not there."""
        return caller.may(self.role) and (caller.sees_payloads or not self.payloads)


def tool(
    *,
    title: str,
    role: Role,
    payloads: bool = False,
    writes: Writes = "nothing",
    idempotent: bool | None = None,
) -> Callable[[Callable[[Any, Asking], Awaitable[Told]]], Served]:
    """Make a tool of a function; its docstring is what a model reads."""

    def made(function: Callable[[Any, Asking], Awaitable[Told]]) -> Served:
        hints = get_type_hints(function)
        takes: type[BaseModel] = hints["asked"]
        gives: Any = hints["return"]

        async def call(arguments: Mapping[str, Any], asking: Asking) -> Told:
            return await function(_read(takes, arguments), asking)

        return Served(
            name=function.__name__,
            role=role,
            payloads=payloads,
            call=call,
            listed=types.Tool(
                name=function.__name__,
                title=title,
                description=inspect.getdoc(function),
                input_schema=slim(takes.model_json_schema()),
                output_schema=_schema(gives),
                annotations=types.ToolAnnotations(
                    title=title,
                    read_only_hint=writes == "nothing",
                    destructive_hint=None if writes == "nothing" else writes == "destructive",
                    idempotent_hint=idempotent,
                    open_world_hint=False,
                ),
            ),
        )

    return made


def _schema(gives: Any) -> dict[str, Any]:
    """That of what is answered with, once nothing more is asked."""
    kinds = get_args(gives) or (gives,)
    told: type[BaseModel] = next(kind for kind in kinds if kind is not types.InputRequiredResult)
    return slim(told.model_json_schema(mode="serialization"))


def slim(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema as a model has to read it: without names that its fields have already, and without null, never sent."""
    found = cast("dict[str, Any]", _slimmer(schema))
    found.pop("title", None)
    found.pop("description", None)  # that of the class; the tool's own stands beside the schema
    return found


def _slimmer(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_slimmer(one) for one in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    told = cast("dict[str, Any]", schema)
    kept = {
        name: _slimmer(one) for name, one in told.items() if not (name == "title" and isinstance(one, str))
    }
    either = kept.get("anyOf")
    if isinstance(either, list):
        rest = [one for one in cast("list[Any]", either) if one != {"type": "null"}]
        if len(rest) == 1:
            del kept["anyOf"]
            kept = {**rest[0], **kept}
    if "default" in kept and kept["default"] is None:
        del kept["default"]
    return kept


def _read(takes: type[BaseModel], arguments: Mapping[str, Any]) -> BaseModel:
    try:
        return takes.model_validate(dict(arguments))
    except ValidationError as error:
        # what was given is not repeated: it may hold a secret, and whoever sent it has it
        told = "; ".join(
            f"`{'.'.join(str(part) for part in one['loc'])[:200]}`: {one['msg'][:200]}"
            for one in error.errors()[:10]
        )
        raise InvalidInput(f"the arguments do not fit: {told}") from None
