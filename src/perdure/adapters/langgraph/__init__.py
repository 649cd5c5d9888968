"""LangGraph and LangChain: graphs and `create_agent` agents in a run, and checkpoints in a Perdure store."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .saver import PerdureSaver

__all__ = ["PerdureSaver"]

_HOMES = {
    "PerdureSaver": "saver",
}


def __getattr__(name: str) -> Any:
    """Imported when it is first used: the framework behind it may not be installed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
