"""Resources and prompts of MCP servers: reads of a run, which cross the boundary as its tools do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..context import Definition, McpContent, McpPrompt, McpResource, McpServer
from ..context.reading import PROMPT
from ..core.credentials import Credential
from ..core.errors import Refused
from ..runtime import Run, Tool
from .mcp_calls import tool_of

if TYPE_CHECKING:
    from .mcp import AppMcp

__all__ = ["Reads"]


class Reads:
    """What a run reads of one server. A server's own tools have names with `__`, and these with `.`."""

    def __init__(self, servers: AppMcp, source: str, run: Run) -> None:
        self._servers, self._source, self._tenant = servers, source, run.tenant

    def resources(self) -> Tool[..., Any]:
        """What there is."""

        async def work(_: str, __: dict[str, Any], credential: Credential | None) -> list[McpResource]:
            return await self._asked(credential).resources(credential=credential)

        return self._tool(work, "resources", list[McpResource])

    def resource(self) -> Tool[..., Any]:
        """What stands in one."""

        async def work(_: str, arguments: dict[str, Any], credential: Credential | None) -> McpContent:
            return await self._asked(credential).read_resource(arguments["uri"], credential=credential)

        return self._tool(work, "resource", McpContent)

    def prompt(self, name: str) -> Tool[..., Any]:
        """What a prompt says."""

        async def work(_: str, given: dict[str, Any], credential: Credential | None) -> McpPrompt:
            asked = self._asked(credential)
            reviewed = await self._servers.reviewed(self._source, f"{PROMPT}{name}")

            async def now() -> dict[str, Definition]:
                return await asked.prompts(credential=credential)

            await self._servers.pinned(self._source, reviewed, now=now)
            said = await asked.prompt(name, given["arguments"], credential=credential)
            pinned = reviewed.annotations.get("says")
            if pinned is not None and said.model_dump(mode="json") != pinned:
                raise Refused(
                    f"prompt `{name}` of MCP server `{self._source}` says something else than what was reviewed, "
                    f"or was given arguments that it did not take then: `perdure mcp diff {self._source}`"
                )
            return said

        return self._tool(work, "prompt", McpPrompt)

    def _asked(self, credential: Credential | None) -> McpServer:
        return self._servers.server(self._source, self._tenant, credential)

    def _tool(self, work: Any, what: str, returns: Any) -> Tool[..., Any]:
        name = f"{self._source}.{what}"
        return tool_of(self._servers, self._source, work, name=name, effect="read", returns=returns)
