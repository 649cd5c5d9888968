"""The tools of MCP servers: reviewed by people, offered to agents, called across the boundary."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ..context import Definition, McpResult, McpServer, McpServers
from ..core.credentials import Credential, Wanted
from ..core.errors import ConfigError
from ..core.mcp_settings import McpSettings
from ..core.provider_settings import ProviderSettings, is_below
from ..runtime import EffectKey, Tool, terms_of
from .reviewed import Kind, Reviewed

if TYPE_CHECKING:
    from .app import App

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

    def __init__(self, app: App, settings: Mapping[str, McpSettings]) -> None:
        super().__init__(app, settings)
        app.providers = {**providers_of(self.settings), **app.providers}
        self._servers = McpServers()

    async def close(self) -> None:
        """End all connections, and the programs that were started."""
        await self._servers.close()

    def _ready(self, source: str) -> McpSettings:
        settings = self._known(source)
        try:
            import mcp
        except ImportError as error:
            raise ConfigError('MCP servers need the extra `mcp`: `pip install "perdure[mcp]"`') from error
        del mcp
        if settings.auth is not None:
            self._provider(source)
        return settings

    async def _now(self, source: str, *, user: str | None = None) -> dict[str, Definition]:
        credential = None if user is None else await self._credential(source, user)
        asked = self._server(source, self._app.tenant, credential)
        return await asked.definitions(credential=credential)

    def _server(self, source: str, tenant: str, credential: Credential | None) -> McpServer:
        return self._servers.of(source, self._ready(source), tenant, credential)

    def _effect(self, source: str, definition: Definition) -> Kind:
        return definition.effect(trusted=self.settings[source].trusted)

    def _tool(self, source: str, definition: Definition, tenant: str) -> Tool[..., Any]:
        settings = self.settings[source]

        async def made(key: str, arguments: dict[str, Any], credential: Credential | None) -> McpResult:
            asked = self._server(source, tenant, credential)
            await self._pinned(source, definition, now=partial(asked.definitions, credential=credential))
            return await asked.call(definition.name, arguments, key=key, credential=credential)

        async def call(*, perdure_effect_key: EffectKey, **arguments: Any) -> McpResult:
            return await made(perdure_effect_key, arguments, None)

        async def call_as_user(
            *, perdure_effect_key: EffectKey, perdure_credential: Credential, **arguments: Any
        ) -> McpResult:
            return await made(perdure_effect_key, arguments, perdure_credential)

        by_user = settings.auth is not None
        function = call_as_user if by_user else call
        function.__doc__ = definition.description
        return Tool(
            function,
            name=self._name(source, definition.name),
            effect=self._effect(source, definition),
            timeout=settings.timeout,
            terms=terms_of(
                labels=["trusted" if settings.trusted else "untrusted"],
                credential=self._provider(source) if by_user else None,
                scopes=settings.scopes,
            ),
            form=definition.arguments,
        )

    # accounts --------------------------------------------------------------------------------------------------

    def _provider(self, source: str) -> str:
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
            provider=self._provider(source),
            scopes=self.settings[source].scopes,
            agent="",
            run="",
            step="",
        )
        return await keeper.credential(wanted)
