"""What came as JSON, made to what an agent takes."""

from __future__ import annotations

from typing import Any

import pydantic_core

from ..runtime import Agent

__all__ = ["typed"]


def typed(agent: Agent, value: Any) -> Any:
    """The input of an agent. Raises `InvalidInput` that says what does not fit."""
    loaded = agent.load_input(pydantic_core.to_json(value))
    return loaded[0] if loaded else None
