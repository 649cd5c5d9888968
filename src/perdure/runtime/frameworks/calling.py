"""What adapters share about calls: JSON, what the model hears, who approves, and where an agent may be run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pydantic_core

from ...core.errors import (
    CheckFailed,
    CircuitOpen,
    ConcurrentScope,
    LimitFull,
    NotDone,
    OutsideRun,
    Refused,
    StepFailed,
    Unserialisable,
    WaitTimeout,
)
from ...core.ids import step_name
from ..boundary.terms import Terms
from ..replay.recorder import Recorder
from ..replay.scope import current_scope
from .crossing import Conversation
from .declared import Declaration, Foreign

__all__ = ["FOR_THE_MODEL", "approved", "as_json", "check_place", "without"]

FOR_THE_MODEL = (NotDone, StepFailed, WaitTimeout, CircuitOpen, LimitFull, CheckFailed, Refused)
"""Errors of Perdure that a model can act upon; all others end the framework's loop."""


def as_json(arguments: Any) -> Any:
    """Arguments as JSON says them: for the key of the step, its intent, and whoever approves it.

    Raises `Unserialisable`.
    """
    try:
        return pydantic_core.from_json(pydantic_core.to_json(arguments))
    except (pydantic_core.PydanticSerializationError, ValueError, TypeError) as error:
        raise Unserialisable(f"arguments of a tool cannot be written as JSON: {error}") from error


def without(value: Any, *made_up: str) -> Any:
    """What is said, without the fields of these names: ids that somebody made up for it."""
    if isinstance(value, dict):
        said = cast("dict[str, Any]", value)
        return {name: without(one, *made_up) for name, one in said.items() if name not in made_up}
    if isinstance(value, list):
        return [without(one, *made_up) for one in cast("list[Any]", value)]
    return value


def check_place(recorder: Recorder, agent: str, *, instead: str) -> None:
    """Whether an agent of a framework may be run here: in the loop of its run, and inside no step.

    `instead`: what to do where it is another thread. Raises `OutsideRun` and `ConcurrentScope`.
    """
    if asyncio.get_running_loop() is not recorder.loop:
        raise OutsideRun(
            f"agent `{agent}` was run in another thread, where nothing can be recorded: {instead}"
        )
    busy = current_scope(recorder).busy
    if busy:
        raise ConcurrentScope(
            f"agent `{agent}` was run inside the step `{busy}`. Where a tool runs it, say so: "
            '`app.effects.declare("delegate", "the tool\'s name")`'
        )


async def approved(
    conversation: Conversation,
    tool: str,
    terms: Terms,
    arguments: Mapping[str, Any],
    *,
    form: dict[str, Any] | None,
) -> dict[str, Any]:
    """Ask for a tool that only calls other agents, where its terms want that. The arguments, perhaps edited.

    Such a tool is no step, so the asking is one: a read that gives back what it was asked with.
    """
    if terms.needs_approval is None:
        return dict(arguments)
    asking = Foreign(step_name(tool), Declaration(effect="read", terms=terms))
    return await conversation.tool(asking.calling(_same, form=form), arguments)


async def _same(**arguments: Any) -> dict[str, Any]:
    return arguments
