"""What an agent takes and returns, as the schemas of a tool."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from ..runtime import Agent
from .shapes import RunTold

__all__ = ["form_of", "given_to", "result_form", "tool_name", "words_of"]

INPUT = "input"
"""The one argument of a tool whose agent takes no object."""


def tool_name(agent: Agent) -> str:
    """What its tool is called: clients and models take letters, digits, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", agent.name)[:64]


def words_of(agent: Agent) -> str | None:
    """What its function says of itself."""
    return inspect.getdoc(agent.function) or None


def form_of(agent: Agent) -> dict[str, Any]:
    """The schema of a tool's arguments: that of the agent's input, where it is an object; else of one named `input`."""
    if agent.known_tasks is not None:
        names = sorted(agent.tasks)
        task = {"type": "string", "enum": names, "description": "What is to be done; the rest is its input"}
        return {"type": "object", "properties": {"task": task}, "required": ["task"]}
    if agent.input is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    schema = agent.input.schema()
    if _is_object(schema):
        return schema
    inner = dict(schema)
    shared = inner.pop("$defs", None)
    form: dict[str, Any] = {"type": "object", "properties": {INPUT: inner}, "required": [INPUT]}
    return form if shared is None else {**form, "$defs": shared}


def given_to(agent: Agent, arguments: Mapping[str, Any]) -> Any:
    """The agent's input, of a tool's arguments."""
    if agent.known_tasks is not None:
        return dict(arguments)
    if agent.input is None:
        return dict(arguments) or None
    if _is_object(agent.input.schema()) or set(arguments) != {INPUT}:
        return dict(arguments)  # what fits no form is a misfit, which the agent's own check words
    return arguments[INPUT]


def result_form(agent: Agent) -> dict[str, Any]:
    """The schema of the answer: a run as it stands, its `result` of the agent's own type."""
    form = RunTold.model_json_schema(mode="serialization")
    result = dict(agent.output.schema())
    shared = {**result.pop("$defs", {}), **form.get("$defs", {})}
    form["properties"]["result"] = {
        "anyOf": [result, {"type": "null"}],
        "description": "What the agent returned",
    }
    return {**form, "$defs": shared}


def _is_object(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "object"
