"""`perdure policy tools`: the tools of MCP servers and OpenAPI documents, written down for policies to name."""

from __future__ import annotations

from typing import Annotated

import typer

from ...core.errors import ConfigError
from ..command import Cli, command
from ..outcome import Exit
from ..tree import policy
from .policy import Folder

__all__: list[str] = []


@command(policy, "tools")
async def tools(
    cli: Cli,
    folder: Folder = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; exit 1 where the file is not as it would be written."),
    ] = False,
) -> int | None:
    """Write `tools.json` beside the policies: what was reviewed of MCP servers and OpenAPI documents."""
    from ...governance.policy.schema import ToolForm
    from ...governance.policy.tools_file import TOOLS_FILE, read_tools, tools_text

    into = folder or cli.settings.policies.folder
    if into is None or not into.is_dir():  # a command has its loop to itself
        named = "this app has no folder" if into is None else f"there is no folder `{into}`"
        raise ConfigError(f"{named} of policies: `perdure policy init` begins one")
    async with cli.opened() as app:
        pinned = [*await app.mcp.let_pass(), *await app.openapi.let_pass()]
    found = [
        ToolForm(
            one.offered,
            one.effect,
            one.review.definition.arguments,
            frozenset({"trusted" if one.trusted else "untrusted"}),
        )
        for one in pinned
    ]
    text, path = tools_text(found), into / TOOLS_FILE
    before = {tool.name: tool for tool in read_tools(into)} if path.exists() else {}
    now = {tool.name: tool for tool in found}
    told = {
        "file": str(path),
        "tools": sorted(now),
        "new": sorted(now.keys() - before.keys()),
        "changed": sorted(name for name in now.keys() & before.keys() if now[name] != before[name]),
        "gone": sorted(before.keys() - now.keys()),
    }
    same = not (told["new"] or told["changed"] or told["gone"])
    if not check and not (same and path.exists()):
        path.write_text(text, encoding="utf-8")
    if cli.json:
        cli.answer(told)
    else:
        for what in ("new", "changed", "gone"):
            for name in told[what]:
                cli.out.print(f"{what}: {name}", soft_wrap=True)
        if check:
            cli.note(
                f"`{path}` is {'as it is to be' if same else 'old: `perdure policy tools` writes it anew'}"
            )
        else:
            cli.note(f"`{path}`: {len(now)} tools; then `perdure policy check`")
    return Exit.NOT_SO if check and not same else None
