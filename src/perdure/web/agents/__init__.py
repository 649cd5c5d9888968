"""The room of agents: their versions, how their runs end, which steps go wrong, and the five answers."""

from .pages import AGENTS

__all__ = ["AGENTS"]
