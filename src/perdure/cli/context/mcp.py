"""`perdure mcp ls|diff|review`: the tools of MCP servers, and which of them somebody has let pass."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError, RunConflict
from ..command import Cli, command
from ..runs.steer import By, operator
from ..tree import mcp

if TYPE_CHECKING:
    from ...app.mcp import McpTool
    from ...context import Definition

__all__: list[str] = []

Name = Annotated[str, typer.Argument(metavar="NAME", help="The server, as `[mcp.NAME]` calls it.")]
Tools = Annotated[
    list[str] | None,
    typer.Option("--tool", metavar="TOOL", help="Only this tool; may be given several times."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Without being asked.")]


@command(mcp, "ls")
async def ls(cli: Cli, name: Name) -> None:
    """List the tools of a server, and whether each is as it was reviewed. Starts the server."""
    async with cli.opened() as app:
        found = await app.mcp.ls(name)
        now = app.store.now()
    if cli.json:
        cli.answer([_json(tool) for tool in found])
        return
    if not found:
        cli.note(f"MCP server `{name}` has no tools")
        return
    from rich.text import Text

    from ...views.words import ago, safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            Text(safe(t.offered), style="bold"),
            Text(t.state, style="green" if t.state == "reviewed" else "yellow"),
            t.effect,
            "" if t.review is None else safe(t.review.by),
            "" if t.review is None else ago(t.review.at, now),
            safe((t.told.description or "").split("\n")[0]),
        ]
        for t in found
    ]
    headings = ("tool", "state", "effect", "reviewed by", "when", "what it says of itself")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((5, 12), (4, 0))))


@command(mcp, "diff")
async def diff(cli: Cli, name: Name) -> int:
    """Show what is not as it was reviewed. Exit 1 where anything is not."""
    async with cli.opened() as app:
        found = [tool for tool in await app.mcp.ls(name) if tool.state != "reviewed"]
    if cli.json:
        cli.answer([_json(tool) for tool in found])
    elif not found:
        cli.note(f"MCP server `{name}`: all tools are as they were reviewed")
    else:
        for tool in found:
            _show(cli, tool)
    return 1 if found else 0


@command(mcp, "review")
async def review(cli: Cli, name: Name, tool: Tools = None, yes: Yes = False, by: By = None) -> None:
    """Show what is new or changed, and let it pass exactly as shown: agents are offered it, and may call it.

    Tools that the server has no more are forgotten, unless only some are named by --tool.
    """
    who = operator(by)
    async with cli.opened() as app:
        found = await app.mcp.ls(name)
        if tool:
            absent = sorted(set(tool) - {t.name for t in found if t.now is not None})
            if absent:
                raise ConfigError(
                    f"MCP server `{name}` has no tool `{absent[0]}`; `{cli.hint('mcp', 'ls', name)}` lists what it has"
                )
            found = [t for t in found if t.name in tool]
        open_ = [t for t in found if t.state != "reviewed"]
        if not open_:
            raise RunConflict(
                f"MCP server `{name}`: all that is there was reviewed already, and has not changed"
            )
        if not cli.json:
            for one in open_:
                _show(cli, one)
        elif not yes:
            raise ConfigError("with `--json` nobody is asked: look at `perdure mcp diff`, then say `--yes`")
        if not yes and not typer.confirm("Let that pass, as it is shown?", err=True):
            raise ConfigError("nothing was reviewed")
        seen = {t.name: t.now for t in open_ if t.now is not None}
        gone = [t.name for t in open_ if t.now is None]
        await app.mcp.review(name, seen, by=who, forget=gone)
    passed = sorted(seen)
    cli.done(
        f"{name}: {len(passed)} tools reviewed by {who}" + (f", {len(gone)} forgotten" if gone else ""),
        {"server": name, "by": who, "reviewed": passed, "forgotten": gone},
    )


def _show(cli: Cli, tool: McpTool) -> None:
    from rich.text import Text

    from ...views.words import safe

    cli.out.print(Text(f"{safe(tool.offered)}: {tool.state}, counts as {tool.effect}", style="bold"))
    before = [] if tool.review is None else _lines(tool.review.definition)
    after = [] if tool.now is None else _lines(tool.now)
    for line in difflib.ndiff(before, after):
        if line[0] != "?":
            style = {"+": "green", "-": "red"}.get(line[0], "dim")
            cli.out.print(Text(f"  {line[0]} {safe(line[2:])}", style=style), soft_wrap=True)


def _lines(definition: Definition) -> list[str]:
    return json.dumps(definition.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=True).split(
        "\n"
    )


def _json(tool: McpTool) -> dict[str, Any]:
    from ...views.words import iso

    review = tool.review
    return {
        "tool": tool.name,
        "offered_as": tool.offered,
        "state": tool.state,
        "effect": tool.effect,
        "changes": tool.changes,
        "now": None if tool.now is None else {**tool.now.model_dump(mode="json"), "digest": tool.now.digest},
        "review": None
        if review is None
        else {
            **review.definition.model_dump(mode="json"),
            "digest": review.digest,
            "by": review.by,
            "at": iso(review.at),
        },
    }
