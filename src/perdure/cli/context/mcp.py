"""`perdure mcp ls|diff|review`: the tools of MCP servers, and which of them somebody has let pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..command import Cli, command
from ..runs.steer import By
from ..tree import mcp
from . import reviewing
from .reviewing import Tools, Yes

if TYPE_CHECKING:
    from ...app import App
    from ...app.mcp import AppMcp

__all__: list[str] = []

User = Annotated[
    str | None,
    typer.Option("--user", metavar="NAME", help='With whose account a server with `auth = "user"` is asked.'),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The server, as `[mcp.NAME]` calls it.")]


def _servers(app: App) -> AppMcp:
    return app.mcp


@command(mcp, "ls")
async def ls(cli: Cli, name: Name, user: User = None) -> None:
    """List the tools of a server, and whether each is as it was reviewed. Starts the server."""
    await reviewing.ls(cli, _servers, name, user=user)


@command(mcp, "diff")
async def diff(cli: Cli, name: Name, user: User = None) -> int:
    """Show what is not as it was reviewed. Exit 1 where anything is not."""
    return await reviewing.diff(cli, _servers, name, user=user)


@command(mcp, "review")
async def review(
    cli: Cli, name: Name, tool: Tools = None, user: User = None, yes: Yes = False, by: By = None
) -> None:
    """Show what is new or changed, and let it pass exactly as shown: agents are offered it, and may call it.

    Tools that the server has no more are forgotten, unless only some are named by --tool.
    """
    await reviewing.review(cli, _servers, name, tool=tool, yes=yes, by=by, user=user)
