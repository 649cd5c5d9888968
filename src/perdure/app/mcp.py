"""The tools of MCP servers: reviewed by people, offered to agents, called across the boundary."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ..context import Definition, McpResult, McpServer, McpServers, Open, UnknownTask
from ..core.credentials import Credential, Wanted
from ..core.errors import ConfigError
from ..core.mcp_settings import McpSettings
from ..core.provider_settings import ProviderSettings, is_below
from ..runtime import EffectKey, Retry, Run, Tool, terms_of
from .reviewed import Kind, Reviewed
from .rounds import Rounds

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
            self.provider_of(source)
        return settings

    async def _now(self, source: str, *, user: str | None = None) -> dict[str, Definition]:
        credential = None if user is None else await self._credential(source, user)
        asked = self.server(source, self._app.tenant, credential)
        return await asked.definitions(credential=credential)

    def server(self, source: str, tenant: str, credential: Credential | None) -> McpServer:
        """A server, as the user has it whose credential that is."""
        return self._servers.of(source, self._ready(source), tenant, credential)

    def effect(self, source: str, definition: Definition) -> Kind:
        """What a tool counts as."""
        return self._effect(source, definition)

    def offered(self, source: str, tool: str) -> str:
        """What models and policies know a tool by."""
        return self._name(source, tool)

    async def pinned(
        self, source: str, offered: Definition, *, now: Callable[[], Awaitable[dict[str, Definition]]]
    ) -> None:
        """Refuse a tool that is not, at this moment, what was reviewed and what the run was offered."""
        await self._pinned(source, offered, now=now)

    def _effect(self, source: str, definition: Definition) -> Kind:
        return definition.effect(trusted=self.settings[source].trusted)

    def _tool(self, source: str, definition: Definition, run: Run) -> Tool[..., Any]:
        made = _Made(self, source, definition, run)
        return made.call(None, None, follow=True)

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


class _Made:
    """The tools of one tool's calls in a run: the call itself, and what follows it."""

    def __init__(self, servers: AppMcp, source: str, definition: Definition, run: Run) -> None:
        self._servers = servers
        self._source, self._definition, self._tenant = source, definition, run.tenant
        self._settings = servers.settings[source]
        self._rounds = Rounds(
            run=run,
            source=source,
            tool=definition.name,
            settings=self._settings,
            call=self.call,
            look=self.look,
            cancel=self.cancel,
            lost=self.lost,
        )

    def call(
        self, open_: Open | None, answers: Mapping[str, Any] | None, *, follow: bool = False
    ) -> Tool[..., Any]:
        """Asks the server to do it; of one that is open, with the answers to what it asked."""
        name = self._definition.name

        async def work(key: str, arguments: dict[str, Any], credential: Credential | None) -> McpResult:
            asked = self._asked(credential)
            now = partial(asked.definitions, credential=credential)
            await self._servers.pinned(self._source, self._definition, now=now)
            return await asked.call(
                name,
                arguments,
                key=key if open_ is None else open_.key,
                credential=credential,
                after=open_,
                answers=answers,
            )

        return self._tool(
            work,
            name=self._servers.offered(self._source, name),
            effect=self._servers.effect(self._source, self._definition),
            form=self._definition.arguments,
            follow=self._rounds.follow if follow else None,
        )

    def look(self, open_: Open, answers: Mapping[str, Any] | None) -> Tool[..., Any]:
        """Asks how a task stands; None where the server knows of none."""

        async def work(_: str, __: dict[str, Any], credential: Credential | None) -> McpResult | None:
            try:
                return await self._asked(credential).task(open_, credential=credential, answers=answers)
            except UnknownTask as error:
                self._servers.log.error("%s", error)
                return None

        return self._tool(work, name="task", effect="read", exempt=True)

    def cancel(self, open_: Open, _: Mapping[str, Any] | None) -> Tool[..., Any]:
        """Says that nobody wants a task any more, as far as that can be said."""

        async def work(_: str, __: dict[str, Any], credential: Credential | None) -> McpResult | None:
            try:
                await self._asked(credential).cancel_task(open_, credential=credential)
            except Exception as error:
                return McpResult(text=f"{type(error).__qualname__}: {str(error)[:300]}", failed=True)
            return None

        return self._tool(work, name="task_cancel", effect="idempotent", exempt=True)

    def lost(self, open_: Open, _: Mapping[str, Any] | None) -> Tool[..., Any]:
        """Stands for a call of which nobody will hear any more: a write is in doubt."""

        async def work(_: str, __: dict[str, Any], ___: Credential | None) -> McpResult:
            raise ConnectionError(
                f"MCP server `{self._source}` does not say what came of task `{open_.task}`: it knows of none, or it "
                f"took longer than `task_within` = {self._settings.task_within}"
            )

        return self._tool(
            work,
            name=self._servers.offered(self._source, self._definition.name),
            effect=self._servers.effect(self._source, self._definition),
            exempt=True,
            retry=Retry.NEVER,
        )

    def _asked(self, credential: Credential | None) -> McpServer:
        return self._servers.server(self._source, self._tenant, credential)

    def _tool(
        self,
        work: Callable[[str, dict[str, Any], Credential | None], Awaitable[McpResult | None]],
        *,
        name: str,
        effect: Kind,
        form: dict[str, Any] | None = None,
        exempt: bool = False,
        retry: Retry | None = None,
        follow: Callable[[dict[str, Any], Any], Awaitable[Any]] | None = None,
    ) -> Tool[..., Any]:
        settings = self._settings

        async def call(*, perdure_effect_key: EffectKey, **arguments: Any) -> McpResult | None:
            return await work(perdure_effect_key, arguments, None)

        async def call_as_user(
            *, perdure_effect_key: EffectKey, perdure_credential: Credential, **arguments: Any
        ) -> McpResult | None:
            return await work(perdure_effect_key, arguments, perdure_credential)

        by_user = settings.auth is not None
        function = call_as_user if by_user else call
        function.__doc__ = self._definition.description
        return Tool(
            function,
            name=name,
            effect=effect,
            timeout=settings.timeout,
            terms=terms_of(
                labels=["trusted" if settings.trusted else "untrusted"],
                credential=self._servers.provider_of(self._source) if by_user else None,
                scopes=settings.scopes,
                retry=retry,
            ),
            form=form,
            exempt=exempt,
            undoes=exempt,
            follow=follow,
        )
