"""The tools of MCP servers: reviewed by people, offered to agents, called across the boundary."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..context import Definition, McpResult, McpServer, Review, Reviews
from ..context.definition import offered_name
from ..core.errors import ConfigError, Refused
from ..core.mcp_settings import McpSettings
from ..runtime import EffectKey, Run, Tool, terms_of

if TYPE_CHECKING:
    from .app import App

__all__ = ["AppMcp", "McpTool", "McpTools"]

log = logging.getLogger("perdure.mcp")


@dataclass(frozen=True, slots=True)
class McpTool:
    """One tool of a server: as it is now, and as somebody has reviewed it."""

    name: str
    """the server's own name for it"""
    offered: str
    """what models and policies know it by"""
    state: Literal["reviewed", "unreviewed", "changed", "gone"]
    trusted: bool
    """whether its server is"""
    now: Definition | None
    review: Review | None

    @property
    def told(self) -> Definition:
        """As it is now; of one that is gone, as it was reviewed."""
        told = self.now or (self.review and self.review.definition)
        assert told is not None
        return told

    @property
    def effect(self) -> Literal["read", "idempotent", "write"]:
        """What it counts as."""
        return self.told.effect(trusted=self.trusted)

    @property
    def changes(self) -> list[str]:
        """The parts of a changed tool that are not as they were reviewed."""
        if self.now is None or self.review is None:
            return []
        return self.review.definition.changes(self.now)


class McpTools:
    """The tools that a run was offered of one server: iterate over them, or take one by the server's name for it."""

    def __init__(self, server: str, tools: Mapping[str, Tool[..., Any]]) -> None:
        self._server, self._tools = server, dict(tools)

    def __iter__(self) -> Iterator[Tool[..., Any]]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __getitem__(self, name: str) -> Tool[..., Any]:
        """A tool by name. Raises `Refused` where the run was not offered it."""
        if name not in self._tools:
            raise Refused(
                f"MCP server `{self._server}`: no reviewed tool `{name}` (reviewed: "
                f"{', '.join(f'`{n}`' for n in self._tools) or 'none'}). `perdure mcp review {self._server}` shows "
                "what there is"
            )
        return self._tools[name]


class AppMcp:
    """The MCP servers of an app."""

    def __init__(self, app: App, settings: Mapping[str, McpSettings]) -> None:
        self._app = app
        self.settings = dict(settings)
        """by name; set it before the first use"""
        self._servers: dict[str, McpServer] = {}

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
        await self._reviews().record(self._app.tenant, server, seen, by=by, forget=forget)

    async def close(self) -> None:
        """End all connections, and the programs that were started."""
        for server in self._servers.values():
            await server.close()
        self._servers.clear()

    # calls -----------------------------------------------------------------------------------------------------

    def _tool(self, server: str, definition: Definition) -> Tool[..., Any]:
        settings = self.settings[server]

        async def call(*, perdure_effect_key: EffectKey, **arguments: Any) -> McpResult:
            await self._pinned(server, definition)
            return await self._servers[server].call(definition.name, arguments, key=perdure_effect_key)

        call.__doc__ = definition.description
        return Tool(
            call,
            name=self._name(server, definition.name),
            effect=definition.effect(trusted=settings.trusted),
            timeout=settings.timeout,
            terms=terms_of(labels=["trusted" if settings.trusted else "untrusted"]),
            form=definition.arguments,
        )

    async def _pinned(self, server: str, offered: Definition) -> None:
        """Refuse a tool that is not, at this moment, what was reviewed and what the run was offered."""
        self._of(server)
        reviews = await self._reviews().of(self._app.tenant, server)
        review = reviews.get(offered.name)
        if review is None or review.digest != offered.digest:
            raise Refused(
                f"`{offered.name}` of MCP server `{server}` is not what the run was offered: it was reviewed again "
                "since, or its review was taken back. A new run is offered what holds now"
            )
        try:
            now = (await self._servers[server].definitions()).get(offered.name)
        except ConfigError as error:  # a shadow: which of the two would be called, nobody knows
            log.error("MCP server %s: no tool of it is called: %s", server, error)
            raise Refused(str(error)) from error
        if now is None:
            raise Refused(f"MCP server `{server}` has no tool `{offered.name}` any more")
        if now.digest != offered.digest:
            changed = ", ".join(f"`{part}`" for part in offered.changes(now))
            log.error(
                "MCP server %s: tool `%s` is not what %s has reviewed (changed: %s); its calls are refused until "
                "somebody reviews it: perdure mcp diff %s",
                server, offered.name, review.by, changed, server,
            )  # fmt: skip
            raise Refused(
                f"`{offered.name}` of MCP server `{server}` has changed since it was reviewed ({changed}), so it "
                f"is not called. A person looks at `perdure mcp diff {server}`, and lets it pass by "
                f"`perdure mcp review {server}`"
            )

    def _of(self, server: str) -> McpSettings:
        settings = self.settings.get(server)
        if settings is None:
            known = ", ".join(f"`{name}`" for name in sorted(self.settings)) or "none"
            raise ConfigError(
                f"there is no MCP server `{server}` (known: {known}); say where it is in `[mcp.{server}]` "
                "of perdure.toml"
            )
        if server not in self._servers:
            try:
                import mcp
            except ImportError as error:
                raise ConfigError('MCP servers need the extra `mcp`: `pip install "perdure[mcp]"`') from error
            del mcp
            self._servers[server] = McpServer(server, settings)
        return settings

    def _name(self, server: str, tool: str) -> str:
        name = offered_name(server, tool)
        if name in self._app.tools:
            raise ConfigError(
                f"two tools have the name `{name}`: one of the app, and `{tool}` of MCP server `{server}`. Rename one "
                "of them"
            )
        return name

    def _reviews(self) -> Reviews:
        return Reviews(self._app.store)
