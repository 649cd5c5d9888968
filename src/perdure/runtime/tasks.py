"""The tasks of an agent: what it is there for, by name, each with a typed input. Anything else is refused at its start.

    @app.agent(tasks={"refund": Refund, "track": Track})
    async def desk(run: Run, input: Refund | Track) -> str: ...

    app.start(desk, Refund(order="A-1"))                       the task of that type
    app.start(desk, {"task": "refund", "order": "A-1"})        the same, as it stands in the journal

So nobody is asked, no model least of all, whether something else might not be done, too.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, cast

import pydantic_core
from pydantic import BaseModel, ValidationError

from ..core.codec import Shape, shape_of
from ..core.errors import ConfigError, TaskRefused, Unserialisable
from ..core.ids import check_id

__all__ = ["Tasks"]

FIELD = "task"


class Tasks:
    """The tasks of one agent."""

    def __init__(self, agent: str, types: Mapping[str, Any]) -> None:
        """Raises `ConfigError` for what cannot be told apart."""
        self._agent = agent
        self._types = dict(types)
        self._shapes: dict[str, Shape[Any]] = {}
        for name, type_ in self._types.items():
            check_id(name, what="a task")
            fields: Any = getattr(type_, "model_fields", None) or getattr(type_, "__annotations__", {})
            if FIELD in fields:
                raise ConfigError(
                    f"agent `{agent}`: the input of task `{name}` has a field `{FIELD}`, which names the task itself"
                )
            self._shapes[name] = shape_of(dict[str, Any] if type_ is None else type_)

    def dump(self, value: Any) -> bytes:
        """The input as it is journaled, the task's name with it. Raises `TaskRefused`."""
        name, given = self._told_apart(value)
        shape = self._shapes[name]
        try:
            if isinstance(value, dict):  # as JSON says it
                given = shape.load(pydantic_core.to_json(given))
            payload = shape.round_trip(given)[0]
            told: Any = pydantic_core.from_json(payload)
        except (Unserialisable, ValidationError, pydantic_core.PydanticSerializationError) as error:
            raise TaskRefused(self._misfit(name, error)) from error
        if not isinstance(told, dict):
            raise TaskRefused(
                f"agent `{self._agent}`: the input of task `{name}` is no object: `{str(told)[:80]}`"
            )
        return pydantic_core.to_json({FIELD: name, **cast("dict[str, Any]", told)})

    def load(self, data: bytes) -> Any:
        """The typed input. Raises `TaskRefused`."""
        told: Any = pydantic_core.from_json(data)
        name, given = self._told_apart(told)
        try:
            return self._shapes[name].load(pydantic_core.to_json(given))
        except ValidationError as error:
            raise TaskRefused(self._misfit(name, error)) from error

    @staticmethod
    def named(data: Any) -> str | None:
        """The task that an input (read) is for."""
        found: Any = cast("dict[str, Any]", data).get(FIELD) if isinstance(data, dict) else None
        return found if isinstance(found, str) else None

    def _told_apart(self, value: Any) -> tuple[str, Any]:
        if isinstance(value, dict):
            given = cast("dict[str, Any]", value)
            name: Any = given.get(FIELD)
            if isinstance(name, str) and name in self._types:
                return name, {key: each for key, each in given.items() if key != FIELD}
            raise TaskRefused(
                self._refusal(f"`{str(name)[:80]}`" if name is not None else "what names no task")
            )
        for name, type_ in self._types.items():
            if inspect.isclass(type_) and isinstance(value, type_):
                return name, value
        raise TaskRefused(self._refusal(f"a `{type(value).__name__}`"))

    def _refusal(self, asked: str) -> str:
        known = "; ".join(f"`{name}`{_fields(type_)}" for name, type_ in self._types.items())
        return f"agent `{self._agent}` is not there for {asked}. It does: {known}"

    def _misfit(self, name: str, error: Exception) -> str:
        return f"agent `{self._agent}` cannot do task `{name}` with this input: {error}"


def _fields(type_: Any) -> str:
    if inspect.isclass(type_) and issubclass(type_, BaseModel):
        return f" ({', '.join(type_.model_fields)})"
    names: Any = getattr(type_, "__annotations__", {})
    return f" ({', '.join(names)})" if names else ""
