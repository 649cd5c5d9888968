"""The server on this process's standard streams: its client acts as the user of this machine, as commands do."""

from __future__ import annotations

from collections.abc import Iterable

from mcp.server.stdio import stdio_server

from ..access import Caller, Role
from ..access.people import os_user
from ..app import App
from ..views.watching import Watch
from .server import mcp_server

__all__ = ["local_caller", "serve_stdio"]


def local_caller(app: App, roles: Iterable[Role]) -> Caller:
    """The user of this machine, with no more than those roles."""
    return Caller(
        principal=os_user(frozenset()), tenant=app.tenant, roles=frozenset(roles), via="stdio:local"
    )


async def serve_stdio(app: App, *, roles: Iterable[Role], watch: Watch | None = None) -> None:
    """Serve until the client closes its end."""
    caller = local_caller(app, roles)
    server = await mcp_server(app, who=lambda _: caller, watch=watch or Watch(app.store))
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
