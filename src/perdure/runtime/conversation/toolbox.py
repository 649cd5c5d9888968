"""The tools that a model is offered, and what becomes of a call that it asks for."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Container, Sequence
from typing import Any, cast

import pydantic_core
from pydantic import BaseModel, PydanticUserError, ValidationError

from ...core.errors import BudgetExceeded, BudgetFinished, ConfigError, ProgramError, StepFailed
from ...core.json_form import misfits
from ...governance.policy.stated import Fields
from ..boundary import effects
from ..boundary.following import followed
from ..boundary.tool import Tool
from ..replay.recorder import Recorder
from ..replay.scope import current_scope
from .messages import ModelReply, ToolCall, ToolMessage, ToolSchema
from .stuck import Observed, observed

__all__ = ["Toolbox", "in_words", "structure"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

_WORDING = frozenset({"title", "description", "examples", "deprecated"})
"""Keywords of a JSON schema that say nothing about which values fit."""

_VALUES = frozenset({"default", "const", "enum"})
_NAMED = frozenset({"properties", "$defs", "patternProperties", "dependentSchemas"})

_MOST_PROBLEMS = 5


class Toolbox:
    """The tools of one conversation."""

    def __init__(self, tools: Sequence[Tool[..., Any]], *, stating: Container[str] = ()) -> None:
        """`stating`: names of the tools of which the model has to say how sure it is of a call."""
        self._tools: dict[str, Tool[..., Any]] = {}
        for tool in tools:
            if not _NAME.fullmatch(tool.name):
                raise ConfigError(
                    f"tool `{tool.name}` cannot be offered to a model by that name: use 1 to 64 of A-Z a-z 0-9 _ -"
                )
            if tool.name in self._tools:
                raise ConfigError(
                    f"two tools are named `{tool.name}`, and a model tells them apart by name: give one a `name=`"
                )
            self._tools[tool.name] = tool
        self._plain = tuple(_schema(tool) for tool in tools)
        self._fields = {s.name: Fields.beside(s.arguments) for s in self._plain if s.name in stating}
        self.schemas = tuple(
            s.model_copy(update={"arguments": self._fields[s.name].added(s.arguments)})
            if s.name in self._fields
            else s
            for s in self._plain
        )

    @property
    def names(self) -> list[str]:
        """In the order in which they are offered."""
        return list(self._tools)

    def structure(self) -> list[tuple[str, Any]]:
        """What must not change under a run that waits: names and forms, not the wording."""
        return sorted((s.name, structure(s.arguments)) for s in self._plain)

    def observed(self, calls: Sequence[ToolCall], results: Sequence[ToolMessage]) -> list[Observed]:
        """Calls and what they gave, for whoever watches whether the agent gets anywhere."""
        found: list[Observed] = []
        for call, result in zip(calls, results, strict=True):
            tool = self._tools.get(call.name)
            telling = result.failed or (tool is not None and tool.effect == "read")
            found.append(observed(call.name, call.arguments, result.text, telling=telling))
        return found

    async def answer(
        self, recorder: Recorder, call: ToolCall, conversation: str, reply: ModelReply
    ) -> ToolMessage:
        """Do what the model asks for, in the current scope; its result, or what the model can do about it.

        A call that failed and is asked for again in the same `conversation` (a path) means the same effect.

        Passes on what no model can mend: `RunCancelled`, `ProgramError` and `ConfigError`.
        """
        tool = self._tools.get(call.name)
        if tool is None:
            return _told(call, f"There is no tool `{call.name}`. {self._choice()}", failed=True)
        fields, stated = self._fields.get(tool.name), None
        if fields is not None and isinstance(call.arguments, dict):
            plain, stated = fields.taken(call.arguments)
            call = call.model_copy(update={"arguments": plain})
        try:
            arguments = _arguments(tool, call, cut_off=reply.finish_reason == "length")
        except _Invalid as invalid:
            return _told(call, f"`{tool.name}` was not called: {invalid}", failed=True)
        scope = current_scope(recorder)
        key = scope.enter(tool.name)
        if stated is not None and recorder.heard is not None:
            recorder.heard.states(key, stated)
        try:
            value = await effects.perform(recorder, scope, key, tool, (), arguments, retried_in=conversation)
            value = await followed(recorder, scope, key, tool, arguments, value)
        except (ProgramError, ConfigError):
            raise
        except BudgetExceeded as error:
            if not isinstance(error, BudgetFinished):
                raise  # the owner said stop; of what is finished with a last call, the model is told
            return _told(call, f"`{tool.name}` was not called: {error}", failed=True)
        except Exception as error:
            return _told(call, f"`{tool.name}` failed: {_named(error)}", failed=True)
        finally:
            scope.busy = ""
        text = value if isinstance(value, str) else tool.shape.dump_json(value).decode()
        return _told(call, text)

    def _choice(self) -> str:
        if not self._tools:
            return "There are no tools here: answer without one."
        return f"Call one of {', '.join(f'`{name}`' for name in self._tools)}, or answer without a tool."


class _Invalid(Exception):
    """Arguments that do not fit, in words for the model."""


def _schema(tool: Tool[..., Any]) -> ToolSchema:
    try:
        arguments = tool.schema()
    except PydanticUserError as error:
        raise ConfigError(
            f"tool `{tool.name}` cannot be offered to a model: its parameters have no JSON schema: {error.message}"
        ) from error
    return ToolSchema(name=tool.name, description=_description(tool.function), arguments=arguments)


def _description(function: Any) -> str | None:
    while isinstance(function, functools.partial):  # its own docstring is about partials
        function = cast("functools.partial[Any]", function).func
    return inspect.getdoc(function)


def _arguments(tool: Tool[..., Any], call: ToolCall, *, cut_off: bool) -> dict[str, Any]:
    """Those that the model gave, validated; defaults stay the tool's own, so that a new default is no mismatch."""
    given = call.arguments
    if isinstance(given, str):
        if cut_off:
            raise _Invalid(
                f"you were cut off at the limit of output tokens amid its arguments (`...{given[-60:]}`). Call it "
                "again with less in one call: several smaller calls, or shorter texts."
            )
        raise _Invalid(f"its arguments are no JSON object (`{given[:200]}`). {_allowed(tool)}")
    if tool.form is not None:  # somebody else's, who looks at them once more
        unfit = misfits(tool.form, given)
        if unfit:
            raise _Invalid(f"{'; '.join(unfit)}. Its parameters are those of its schema.")
        return dict(given)
    form = cast("type[BaseModel]", tool.arguments)
    unknown = [name for name in given if name not in form.model_fields]
    if unknown:
        raise _Invalid(f"it takes no {', '.join(f'`{name}`' for name in unknown)}. {_allowed(tool)}")
    try:
        # As JSON, which may say a date or an enum: in the strict mode of a type that is more than Python may.
        checked = form.model_validate_json(pydantic_core.to_json(given))
    except ValidationError as error:
        raise _Invalid(f"{in_words(error)}. {_allowed(tool)}") from error
    return {name: getattr(checked, name) for name in form.model_fields if name in checked.model_fields_set}


def _allowed(tool: Tool[..., Any]) -> str:
    fields = cast("type[BaseModel]", tool.arguments).model_fields
    if not fields:
        return "It takes no arguments."
    properties: dict[str, dict[str, Any]] = tool.schema().get("properties", {})
    parts: list[str] = []
    for name, field in fields.items():
        kind = properties.get(name, {}).get("type", "")
        about = [str(kind)] if kind else []
        if not field.is_required():
            about.append("optional")
        parts.append(f"`{name}` ({', '.join(about)})" if about else f"`{name}`")
    return f"It takes {', '.join(parts)}."


def in_words(error: ValidationError) -> str:
    """The first problems that pydantic found, on one line."""
    problems = error.errors(include_url=False, include_context=False)
    parts: list[str] = []
    for problem in problems[:_MOST_PROBLEMS]:
        path = ".".join(str(p) for p in problem["loc"])
        given = (
            ""
            if problem["type"] in ("missing", "json_invalid")
            else f" (given: `{str(problem['input'])[:100]}`)"
        )
        parts.append((f"`{path}`: " if path else "") + problem["msg"][:300] + given)
    more = len(problems) - _MOST_PROBLEMS
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


def _told(call: ToolCall, text: str, *, failed: bool = False) -> ToolMessage:
    return ToolMessage(id=call.id, name=call.name, text=text, failed=failed)


def _named(error: Exception) -> str:
    """Type and message; the stand-in for a recorded error names the type in its message already."""
    if isinstance(error, StepFailed) and error.type_name:
        return str(error)
    return f"{type(error).__qualname__}: {error}"


def structure(schema: Any) -> Any:
    """A JSON schema without its wording, keys sorted: two that accept the same values in the same form are equal."""
    if isinstance(schema, list):
        return [structure(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in sorted(cast("dict[str, Any]", schema).items()):
        if key in _WORDING:
            continue
        if key in _VALUES:
            kept[key] = value
        elif key == "required":
            kept[key] = sorted(value)
        elif key in _NAMED and isinstance(value, dict):
            kept[key] = {k: structure(v) for k, v in sorted(cast("dict[str, Any]", value).items())}
        else:
            kept[key] = structure(value)
    return kept
