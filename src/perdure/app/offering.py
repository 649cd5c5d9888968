"""What an app offers to MCP clients: the agents of which somebody has said so, and no other."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.errors import ConfigError
from ..core.mcp_serve_settings import McpServeSettings
from ..runtime import Agent
from .base import AppBase

__all__ = ["Offering"]


class Offering(AppBase):
    """The part of `App` that knows which agents `perdure mcp serve` offers."""

    mcp_serve = McpServeSettings()
    """the table `[mcp_serve]`"""

    def offered_agents(self) -> Mapping[str, Agent]:
        """By name, each in the version that new runs get. Raises `ConfigError` for one that is not registered."""
        newest = {name: self.find_agent(name) for name, _ in self.agents}
        named = self.mcp_serve.agents
        for name in named:
            if name != "*" and name not in newest:
                known = ", ".join(f"`{one}`" for one in sorted(newest)) or "none"
                raise ConfigError(
                    f"`agents` of [mcp_serve] offers `{name[:80]}`, which is not registered (registered: {known})"
                )
        return {
            name: agent
            for name, agent in sorted(newest.items())
            if agent.mcp or "*" in named or name in named
        }
