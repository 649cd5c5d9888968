"""pydantic-ai: its agents in a run, and its models for `run.model`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents import PerdureCapability
    from .models import message_history

__all__ = ["PerdureCapability", "message_history"]

_HOMES = {
    "PerdureCapability": "agents",
    "message_history": "models",
}


def __getattr__(name: str) -> Any:
    """Imported when it is first used: the framework behind it may not be installed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
