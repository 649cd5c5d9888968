"""The tools of MCP servers: reviewed by people, offered to agents, called across the boundary."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..context import Definition, McpResult, McpServer
from ..core.errors import ConfigError
from ..core.mcp_settings import McpSettings
<<<<<<< HEAD
from ..runtime import EffectKey, Tool, terms_of
from .reviewed import Kind, Reviewed
=======
from ..runtime import EffectKey, Run, Tool, terms_of
from .changes import record_change
>>>>>>> 02ab74f (What people change beside runs is told in the audit log: a chain that is cut off does not fit it)

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

<<<<<<< HEAD
=======
    async def tools(self, run: Run, server: str) -> McpTools:
        """The tools of a server that somebody has reviewed, for one run: `tools=[*await app.mcp.tools(run, "files")]`.

        A step of the run, which records them: replay offers the same ones and asks nobody. The server is not asked
        either: what a model reads is what was reviewed. Raises `ConfigError` for a server that is not set up, and where
        the app has a tool of its own by the same name.
        """
        self._of(server)

        async def offered() -> list[Definition]:
            reviews = await self._reviews().of(self._app.tenant, server)
            return [reviews[name].definition for name in sorted(reviews)]

        definitions: list[Definition] = await run.step(f"mcp {server}", offered)
        return McpTools(server, {d.name: self._tool(server, d) for d in definitions})

    async def ls(self, server: str) -> list[McpTool]:
        """The tools of a server, by name: as it says now, and as they were reviewed. Asks the server.

        Raises `ConfigError` where two of its tools, or one of them and one of the app's, have one name.
        """
        settings = self._of(server)
        await self._app.open()
        now = await self._servers[server].definitions()
        reviews = await self._reviews().of(self._app.tenant, server)
        found: list[McpTool] = []
        for name in sorted({*now, *reviews}):
            here, review = now.get(name), reviews.get(name)
            state = (
                "gone" if here is None
                else "unreviewed" if review is None
                else "reviewed" if review.digest == here.digest
                else "changed"
            )  # fmt: skip
            found.append(McpTool(name, self._name(server, name), state, settings.trusted, here, review))
        return found

    async def review(
        self, server: str, seen: Mapping[str, Definition], *, by: str, forget: Iterable[str] = ()
    ) -> None:
        """Let tools pass, exactly as somebody (`by`) has seen them; take the reviews of others back."""
        self._of(server)
        for name in seen:
            self._name(server, name)
        await self._app.open()
        taken_back = [*forget]
        await self._reviews().record(self._app.tenant, server, seen, by=by, forget=taken_back)
        told = {
            "server": server,
            "tools": {name: definition.digest for name, definition in seen.items()},
            "taken_back": taken_back,
        }
        await record_change(self._app.store, self._app.tenant, "mcp_review", told, by=by)

>>>>>>> 02ab74f (What people change beside runs is told in the audit log: a chain that is cut off does not fit it)
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
