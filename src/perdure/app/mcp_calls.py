"""The calls of one tool of an MCP server in a run, as tools that cross the boundary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from ..context import Definition, McpResult, McpServer, Open, UnknownTask
from ..core.credentials import Credential
from ..core.mcp_settings import McpToolSettings
from ..runtime import EffectKey, Retry, Run, Tool, terms_of
from ..runtime.boundary.pulse import heartbeat
from .reviewed import Kind
from .rounds import Rounds

if TYPE_CHECKING:
    from .mcp import AppMcp

__all__ = ["Calls", "tool_of"]

Work = Callable[[str, dict[str, Any], Credential | None], Awaitable[Any]]
"""Given the key of the effect, the arguments, and the credential of the user."""


def tool_of(
    servers: AppMcp,
    source: str,
    work: Work,
    *,
    name: str,
    effect: Kind,
    returns: Any = McpResult,
    tool: str | None = None,
    description: str | None = None,
    form: dict[str, Any] | None = None,
    exempt: bool = False,
    retry: Retry | None = None,
    follow: Callable[[dict[str, Any], Any], Awaitable[Any]] | None = None,
) -> Tool[..., Any]:
    """A tool that has a server do something, with the account of the user where the server wants one."""
    settings = servers.settings[source]
    known = McpToolSettings() if tool is None else settings.tools.get(tool, McpToolSettings())
    if retry is None and known.attempts is not None and effect != "write":
        retry = Retry(attempts=known.attempts)

    async def call(*, perdure_effect_key: EffectKey, **arguments: Any) -> Any:
        return await work(perdure_effect_key, arguments, None)

    async def call_as_user(
        *, perdure_effect_key: EffectKey, perdure_credential: Credential, **arguments: Any
    ) -> Any:
        return await work(perdure_effect_key, arguments, perdure_credential)

    by_user = settings.auth is not None
    function = call_as_user if by_user else call
    function.__doc__ = description
    function.__annotations__["return"] = returns
    return Tool(
        function,
        name=name,
        effect=effect,
        timeout=known.timeout or settings.timeout,
        terms=terms_of(
            labels=["trusted" if settings.trusted else "untrusted", *known.labels],
            credential=servers.provider_of(source) if by_user else None,
            scopes=settings.scopes,
            retry=retry,
        ),
        form=form,
        exempt=exempt,
        undoes=exempt,
        follow=follow,
    )


class Calls:
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
                heard=_telling(),
            )

        return tool_of(
            self._servers,
            self._source,
            work,
            name=self._servers.offered(self._source, name),
            effect=self._servers.effect(self._source, self._definition),
            tool=name,
            description=self._definition.description,
            form=self._definition.arguments,
            follow=self._rounds.follow if follow else None,
        )

    def look(self, open_: Open, answers: Mapping[str, Any] | None) -> Tool[..., Any]:
        """Asks how a task stands; None where the server knows of none."""

        async def work(_: str, __: dict[str, Any], credential: Credential | None) -> McpResult | None:
            try:
                found = await self._asked(credential).task(open_, credential=credential, answers=answers)
            except UnknownTask as error:
                self._servers.log.error("%s", error)
                return None
            if found.open is not None and found.open.said:
                heartbeat(found.open.said)
            return found

        return tool_of(
            self._servers,
            self._source,
            work,
            name="task",
            effect="read",
            returns=McpResult | None,
            exempt=True,
        )

    def cancel(self, open_: Open, _: Mapping[str, Any] | None) -> Tool[..., Any]:
        """Says that nobody wants a task any more, as far as that can be said."""

        async def work(_: str, __: dict[str, Any], credential: Credential | None) -> McpResult | None:
            try:
                await self._asked(credential).cancel_task(open_, credential=credential)
            except Exception as error:
                return McpResult(text=f"{type(error).__qualname__}: {str(error)[:300]}", failed=True)
            return None

        return tool_of(
            self._servers,
            self._source,
            work,
            name="task_cancel",
            effect="idempotent",
            returns=McpResult | None,
            exempt=True,
        )

    def lost(self, open_: Open, _: Mapping[str, Any] | None) -> Tool[..., Any]:
        """Stands for a call of which nobody will hear any more: a write is in doubt."""

        async def work(_: str, __: dict[str, Any], ___: Credential | None) -> McpResult:
            raise ConnectionError(
                f"MCP server `{self._source}` does not say what came of task `{open_.task}`: it knows of none, or it "
                f"took longer than `task_within` = {self._settings.task_within}"
            )

        return tool_of(
            self._servers,
            self._source,
            work,
            name=self._servers.offered(self._source, self._definition.name),
            effect=self._servers.effect(self._source, self._definition),
            exempt=True,
            retry=Retry.NEVER,
        )

    def _asked(self, credential: Credential | None) -> McpServer:
        return self._servers.server(self._source, self._tenant, credential)


def _telling() -> Callable[[str | None, float, float | None], None]:
    """What tells how far the call is that is made here: signs of life of its step, as few as any tool's are."""
    here = copy_context()  # the SDK calls back from a task of its own

    def tell(message: str | None, done: float, total: float | None) -> None:
        words = (message or "")[:200]
        here.copy().run(heartbeat, words, done=int(done), total=None if total is None else int(total))

    return tell
