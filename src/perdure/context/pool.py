"""The servers of a worker: one connection to each; with `auth = "user"` one to each for each user, and none shared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..core.credentials import Credential
from ..core.mcp_settings import McpSettings
from .connection import Changed
from .servers import McpServer

__all__ = ["McpServers"]

_MOST_USERS = 100
"""Connections of users that are kept open."""

_Place = tuple[str, str, str]
"""Server, tenant, user."""


class McpServers:
    """Belongs to one loop."""

    def __init__(self, changed: Changed | None = None, listed: Callable[[str], None] | None = None) -> None:
        """`changed` is told how servers are, `listed` that the tools of one are others."""
        self._changed, self._listed = changed, listed
        self._open: dict[_Place, McpServer] = {}
        """those used last stand last"""
        self._closing: set[asyncio.Task[None]] = set()

    def of(self, name: str, settings: McpSettings, tenant: str, credential: Credential | None) -> McpServer:
        """A server as the user has it whose credential that is. Users of two tenants are two, whatever their name."""
        by_user = settings.auth is not None
        whose = credential.subject if by_user and credential is not None else ""
        place = (name, tenant if by_user else "", whose)
        found = self._open.pop(place, None) or McpServer(
            name, settings, changed=self._changed, listed=self._listed
        )
        self._open[place] = found
        if len(self._open) > _MOST_USERS:
            self._make_room()
        return found

    async def close(self) -> None:
        """End all connections, and the programs that were started."""
        servers, self._open = list(self._open.values()), {}
        for server in servers:
            await server.close()
        if self._closing:
            await asyncio.wait(list(self._closing))

    def _make_room(self) -> None:
        """End the connections of users who have not been heard of for longest. Nobody waits for that."""
        idle = [place for place, server in self._open.items() if place[2] and not server.busy]
        for place in idle[: max(0, len(self._open) - _MOST_USERS)]:
            task = asyncio.create_task(self._open.pop(place).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
