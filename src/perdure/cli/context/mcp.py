"""`perdure mcp ls|diff|review`: the tools of MCP servers, and which of them somebody has let pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...views.words import ago, iso, safe
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
async def ls(
    cli: Cli,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The server; without it, all, and how they are.")
    ] = None,
    user: User = None,
) -> None:
    """List the tools of a server, and whether each is as it was reviewed. Starts the server.

    Without a NAME: the servers, and how the worker that used one last has found it. Starts none.
    """
    if name is None:
        await _servers_ls(cli)
    else:
        await reviewing.ls(cli, _servers, name, user=user)


async def _servers_ls(cli: Cli) -> None:
    async with cli.opened() as app:
        settings, found, now = app.mcp.settings, await app.mcp.standings(), app.store.now()
    told: list[dict[str, Any]] = [
        {
            "server": name,
            "at": settings[name].url or settings[name].command,
            "state": found[name].state if name in found else "unused",
            "why": found[name].why if name in found else "",
            "said": found[name].said if name in found else "",
            "since": iso(found[name].at) if name in found else None,
        }
        for name in sorted(settings)
    ]
    if cli.json:
        cli.answer(told)
        return
    if not told:
        cli.note("there are no MCP servers; say where one is in [mcp.NAME] of perdure.toml")
        return
    from rich.text import Text

    from ..display.screen import listing

    styles = {"good": "green", "lost": "red"}
    rows: list[list[Text | str]] = [
        [
            Text(one["server"], style="bold"),
            Text(one["state"], style=styles.get(one["state"], "")),
            ago(found[one["server"]].at, now) if one["server"] in found else "",
            safe(str(one["at"])),
            safe(one["why"]),
        ]
        for one in told
    ]
    cli.out.print(
        listing(("server", "state", "since", "where", "why"), rows, cli.out, squeeze=((4, 12), (3, 8)))
    )
    for one in told:
        if one["said"]:
            cli.out.print(Text(f"{one['server']} has said:", style="bold"))
            for line in one["said"].strip().splitlines()[-10:]:
                cli.out.print(Text(f"  {safe(line)}", style="dim"), soft_wrap=True)


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
