"""The tools of MCP servers: reviewed by people, offered to agents, called across the boundary."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..context import Definition, McpResult, McpServer
from ..core.errors import ConfigError
from ..core.mcp_settings import McpSettings
from ..runtime import EffectKey, Tool, terms_of
from .reviewed import Kind, Reviewed

if TYPE_CHECKING:
    from .app import App

__all__ = ["AppMcp"]


class AppMcp(Reviewed[McpSettings]):
    """The MCP servers of an app."""

    kind = "mcp"
    called = "MCP server"
    log = logging.getLogger("perdure.mcp")

    def __init__(self, app: App, settings: Mapping[str, McpSettings]) -> None:
        super().__init__(app, settings)
        self._servers: dict[str, McpServer] = {}

    async def close(self) -> None:
        """End all connections, and the programs that were started."""
        for server in self._servers.values():
            await server.close()
        self._servers.clear()

    def _ready(self, source: str) -> McpSettings:
        settings = self._known(source)
        if source not in self._servers:
            try:
                import mcp
            except ImportError as error:
                raise ConfigError('MCP servers need the extra `mcp`: `pip install "perdure[mcp]"`') from error
            del mcp
            self._servers[source] = McpServer(source, settings)
        return settings

    async def _now(self, source: str) -> dict[str, Definition]:
        return await self._servers[source].definitions()

    def _effect(self, source: str, definition: Definition) -> Kind:
        return definition.effect(trusted=self.settings[source].trusted)

    def _tool(self, source: str, definition: Definition) -> Tool[..., Any]:
        settings = self.settings[source]

        async def call(*, perdure_effect_key: EffectKey, **arguments: Any) -> McpResult:
            await self._pinned(source, definition)
            return await self._servers[source].call(definition.name, arguments, key=perdure_effect_key)

        call.__doc__ = definition.description
        return Tool(
            call,
            name=self._name(source, definition.name),
            effect=self._effect(source, definition),
            timeout=settings.timeout,
            terms=terms_of(labels=["trusted" if settings.trusted else "untrusted"]),
            form=definition.arguments,
        )
