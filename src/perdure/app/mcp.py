"""The tools of MCP servers: reviewed by people, offered to agents, called across the boundary."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

from ..context import (
    Definition,
    McpContent,
    McpPrompt,
    McpResource,
    McpServer,
    McpServers,
    Standing,
    Standings,
)
from ..context.definition import apart
from ..context.reading import PROMPT
from ..core.credentials import Credential, Wanted
from ..core.errors import ConfigError, PerdureError, Refused, StoreError
from ..core.mcp_settings import McpSettings
from ..core.provider_settings import ProviderSettings, is_below
from ..runtime import Run, Tool
from .mcp_calls import Calls
from .mcp_reads import Reads
from .reviewed import Kind, Reviewed

if TYPE_CHECKING:
    from .connections import Connections

__all__ = ["AppMcp", "providers_of"]


def providers_of(servers: Mapping[str, McpSettings]) -> dict[str, ProviderSettings]:
    """With whom users connect accounts of servers that name no provider: what guards a server, it says itself."""
    return {
        name: ProviderSettings(protected_resource=server.url, scopes=server.scopes)
        for name, server in servers.items()
        if server.auth is not None and server.provider is None
    }


class AppMcp(Reviewed[McpSettings]):
    """The MCP servers of an app."""

    kind = "mcp"
    called = "MCP server"
    log = logging.getLogger("perdure.mcp")

    def __init__(self, app: Connections, settings: Mapping[str, McpSettings]) -> None:
        super().__init__(app, settings)
        app.providers = {**providers_of(self.settings), **app.providers}
        self._servers = McpServers(self._changed, self._listed)
        self._told: dict[str, tuple[str, str]] = {}
        """how this process has told that servers are"""
        self._telling: set[asyncio.Task[None]] = set()

    async def resources(self, run: Run, source: str) -> list[McpResource]:
        """What a server has to read, as it says now: a read of the run, recorded, labelled as the server's answers are.

        Policies know it as `SOURCE.resources`, and the next ones as `SOURCE.resource` and `SOURCE.prompt`.
        """
        return await run.call(Reads(self, source, run).resources())

    async def read_resource(self, run: Run, source: str, uri: str) -> McpContent:
        """What stands in a resource: a read of the run, up to `most_output` characters."""
        return await run.call(Reads(self, source, run).resource(), uri=uri)

    async def prompt(self, run: Run, source: str, name: str, /, **arguments: str) -> McpPrompt:
        """What a prompt of a server says, that somebody has reviewed: a read of the run.

        Of a prompt without arguments the very text was reviewed; of another that it is there, and what it takes. Raises
        `Refused` for one that was not reviewed, or that has changed since.
        """
        return await run.call(Reads(self, source, run).prompt(name), arguments=arguments)

    async def close(self) -> None:
        """End all connections, and the programs that were started."""
        await self._servers.close()
        if self._telling:
            await asyncio.wait(list(self._telling))

    async def standings(self, *, tenant: str | None = None) -> dict[str, Standing]:
        """How servers are that were used, by name, as the worker that used one last has found it."""
        await self._app.open()
        return await Standings(self._app.store).ls(tenant or self._app.tenant)

    def _changed(self, server: str, state: Literal["good", "lost"], why: str, said: str) -> None:
        if self._told.get(server) == (state, why):
            return
        self._told[server] = (state, why)
        task = asyncio.create_task(self._note(server, state, why, said))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def _listed(self, server: str) -> None:
        task = asyncio.create_task(self._look(server))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _look(self, server: str) -> None:
        try:
            await self.look_over(server)
        except PerdureError as error:
            self.log.warning(
                "MCP server %s says that its tools have changed; to look failed: %s", server, error
            )

    async def _note(self, server: str, state: Literal["good", "lost"], why: str, said: str) -> None:
        try:
            await Standings(self._app.store).note(self._app.tenant, server, state, why=why, said=said)
        except StoreError as error:  # it is told the next time that it changes
            self._told.pop(server, None)
            self.log.warning("MCP server %s is %s, which could not be written down: %s", server, state, error)

    def _ready(self, source: str) -> McpSettings:
        settings = self._known(source)
        try:
            import mcp
        except ImportError as error:
            raise ConfigError('MCP servers need the extra `mcp`: `pip install "perdure[mcp]"`') from error
        del mcp
        if settings.auth is not None:
            self.provider_of(source)
        return settings

    async def _now(self, source: str, *, user: str | None = None) -> dict[str, Definition]:
        credential = None if user is None else await self._credential(source, user)
        asked = self.server(source, self._app.tenant, credential)
        found = await asked.definitions(credential=credential)
        prompts = await asked.prompts(credential=credential)
        here = [*found.values(), *prompts.values()]
        return apart(source, [one for one in here if self._wanted(source, one)])

    def _wanted(self, source: str, definition: Definition) -> bool:
        settings, name = self.settings[source], definition.name
        listed = not settings.only or any(fnmatchcase(name, pattern) for pattern in settings.only)
        return listed and not any(fnmatchcase(name, pattern) for pattern in settings.without)

    def server(self, source: str, tenant: str, credential: Credential | None) -> McpServer:
        """A server, as the user has it whose credential that is."""
        return self._servers.of(source, self._ready(source), tenant, credential)

    def effect(self, source: str, definition: Definition) -> Kind:
        """What a tool counts as."""
        return self._effect(source, definition)

    def offered(self, source: str, tool: str) -> str:
        """What models and policies know a tool by."""
        return self._name(source, tool)

    async def reviewed(self, source: str, name: str) -> Definition:
        """What somebody has reviewed. Raises `Refused` where nobody has."""
        found = (await self._reviews().of(self._app.tenant, source)).get(name)
        if found is None:
            raise Refused(
                f"`{name}` of MCP server `{source}` was not reviewed: `perdure mcp review {source}` shows what there is"
            )
        return found.definition

    async def pinned(
        self, source: str, offered: Definition, *, now: Callable[[], Awaitable[dict[str, Definition]]]
    ) -> None:
        """Refuse a tool that is not, at this moment, what was reviewed and what the run was offered."""
        await self._pinned(source, offered, now=now)

    def _offered(self, definition: Definition) -> bool:
        return not definition.name.startswith(PROMPT)

    def _effect(self, source: str, definition: Definition) -> Kind:
        known = self.settings[source].tools.get(definition.name)
        if known is not None and known.effect is not None:
            return known.effect
        return definition.effect(trusted=self.settings[source].trusted)

    def _tool(self, source: str, definition: Definition, run: Run) -> Tool[..., Any]:
        return Calls(self, source, definition, run).call(None, None, follow=True)

    # accounts --------------------------------------------------------------------------------------------------

    def provider_of(self, source: str) -> str:
        """With whom users connect the account that a server is used with. Raises `ConfigError`.

        Its tokens must be for that server: a token that was given for another one is never shown to it.
        """
        settings = self.settings[source]
        name = settings.provider or source
        if self._app.credentials is not None:
            return name  # whoever keeps them says for whom they are
        provider = self._app.providers.get(name)
        if provider is None:
            raise ConfigError(
                f'MCP server `{source}` has `auth = "user"`: say with whom users connect their account, in '
                f"`[providers.{name}]` of perdure.toml"
            )
        audience = provider.audience
        if audience is None or not is_below(settings.url or "", audience):
            said = "nobody in particular" if audience is None else f"`{audience}`"
            raise ConfigError(
                f"MCP server `{source}` at `{settings.url}` must not be shown tokens of provider `{name}`, which are "
                f'for {said}; say `resource = "{settings.url}"` in `[providers.{name}]`'
            )
        return name

    async def _credential(self, source: str, user: str) -> Credential:
        keeper = self._app.credential_source
        if self.settings[source].auth is None or keeper is None:
            raise ConfigError(
                f'MCP server `{source}` is asked with nobody\'s account: leave the user out, or say `auth = "user"`'
            )
        wanted = Wanted(
            tenant=self._app.tenant,
            subject=user,
            provider=self.provider_of(source),
            scopes=self.settings[source].scopes,
            agent="",
            run="",
            step="",
        )
        return await keeper.credential(wanted)
