"""`perdure databases check`: what agents are offered of a database, and whether its account could do more than read."""

from __future__ import annotations

from typing import Annotated

import typer

from ..command import Cli, command
from ..tree import databases

__all__: list[str] = []

Name = Annotated[str, typer.Argument(metavar="NAME", help="The database, as `[database.NAME]` calls it.")]


@command(databases, "check")
async def check(cli: Cli, name: Name) -> int:
    """Show the tools that a database gives, and what is not as it should be. Exit 1 where anything is not."""
    async with cli.opened() as app:
        tools = app.databases.definitions(name)
        warnings = await app.databases.warnings(name)
    if cli.json:
        told = [
            {"tool": t.name, "about": t.description, "arguments": t.arguments, **t.annotations}
            for t in tools.values()
        ]
        cli.answer({"database": name, "tools": told, "warnings": warnings})
        return 1 if warnings else 0
    from rich.text import Text

    from ...views.words import safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [Text(safe(f"{name}__{tool.name}"), style="bold"), safe((tool.description or "").split("\n")[0])]
        for tool in tools.values()
    ]
    cli.out.print(listing(("tool", "what a model is told"), rows, cli.out, squeeze=((1, 0),)))
    for warning in warnings:
        cli.out.print(Text(f"warning: {safe(warning)}", style="yellow"))
    return 1 if warnings else 0
