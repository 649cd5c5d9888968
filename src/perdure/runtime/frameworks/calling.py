"""What adapters share about a tool call: its arguments as JSON, what the model hears, who approves a delegation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic_core

from ...core.errors import CircuitOpen, LimitFull, NotDone, Refused, StepFailed, Unserialisable, WaitTimeout
from ...core.ids import step_name
from ..boundary.terms import Terms
from .crossing import Conversation
from .declared import Declaration, Foreign

__all__ = ["FOR_THE_MODEL", "approved", "as_json"]

FOR_THE_MODEL = (NotDone, StepFailed, WaitTimeout, CircuitOpen, LimitFull, Refused)
"""Errors of Perdure that a model can act upon; all others end the framework's loop."""


def as_json(arguments: Any) -> Any:
    """Arguments as JSON says them: for the key of the step, its intent, and whoever approves it.

    Raises `Unserialisable`.
    """
    try:
        return pydantic_core.from_json(pydantic_core.to_json(arguments))
    except (pydantic_core.PydanticSerializationError, ValueError, TypeError) as error:
        raise Unserialisable(f"arguments of a tool cannot be written as JSON: {error}") from error


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
