"""What `ls`, `diff` and `review` say of tools that somebody else describes: of MCP servers, of OpenAPI documents."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ...core.errors import ConfigError, RunConflict
from ..command import Cli
from ..identity.connections import subject_of
from ..runs.steer import operator

if TYPE_CHECKING:
    from ...app import App
    from ...app.reviewed import Reviewed, ReviewedTool
    from ...context import Definition

__all__ = ["Sources", "Tools", "Yes", "diff", "ls", "review"]

Sources: TypeAlias = "Callable[[App], Reviewed[Any]]"
"""Those of one kind, of an app."""
Tools = Annotated[
    list[str] | None,
    typer.Option("--tool", metavar="TOOL", help="Only this tool; may be given several times."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Without being asked.")]


async def ls(cli: Cli, of: Sources, name: str, *, user: str | None = None) -> None:
    """List the tools of a source, and whether each is as it was reviewed."""
    async with cli.opened() as app:
        sources = of(app)
        found = await sources.ls(name, user=_subject(user))
        now = app.store.now()
    if cli.json:
        cli.answer([_json(tool) for tool in found])
        return
    if not found:
        cli.note(f"{sources.called} `{name}` has no tools")
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


async def diff(cli: Cli, of: Sources, name: str, *, user: str | None = None) -> int:
    """Show what is not as it was reviewed. 1 where anything is not."""
    async with cli.opened() as app:
        sources = of(app)
        found = [tool for tool in await sources.ls(name, user=_subject(user)) if tool.state != "reviewed"]
    if cli.json:
        cli.answer([_json(tool) for tool in found])
    elif not found:
        cli.note(f"{sources.called} `{name}`: all tools are as they were reviewed")
    else:
        for tool in found:
            _show(cli, tool)
    return 1 if found else 0


async def review(
    cli: Cli,
    of: Sources,
    name: str,
    *,
    tool: list[str] | None,
    yes: bool,
    by: str | None,
    user: str | None = None,
) -> None:
    """Show what is new or changed, and let it pass exactly as shown."""
    who = operator(by)
    async with cli.opened() as app:
        sources = of(app)
        found = await sources.ls(name, user=_subject(user))
        if tool:
            absent = sorted(set(tool) - {t.name for t in found if t.now is not None})
            if absent:
                raise ConfigError(
                    f"{sources.called} `{name}` has no tool `{absent[0]}`; "
                    f"`{cli.hint(sources.kind, 'ls', name)}` lists what it has"
                )
            found = [t for t in found if t.name in tool]
        open_ = [t for t in found if t.state != "reviewed"]
        if not open_:
            raise RunConflict(
                f"{sources.called} `{name}`: all that is there was reviewed already, and has not changed"
            )
        if not cli.json:
            for one in open_:
                _show(cli, one)
        elif not yes:
            raise ConfigError(
                f"with `--json` nobody is asked: look at `perdure {sources.kind} diff`, then say `--yes`"
            )
        if not yes and not typer.confirm("Let that pass, as it is shown?", err=True):
            raise ConfigError("nothing was reviewed")
        seen = {t.name: t.now for t in open_ if t.now is not None}
        gone = [t.name for t in open_ if t.now is None]
        await sources.review(name, seen, by=who, forget=gone)
    passed = sorted(seen)
    cli.done(
        f"{name}: {len(passed)} tools reviewed by {who}" + (f", {len(gone)} forgotten" if gone else ""),
        {"source": name, "by": who, "reviewed": passed, "forgotten": gone},
    )


def _subject(user: str | None) -> str | None:
    return None if user is None else subject_of(user)


def _show(cli: Cli, tool: ReviewedTool) -> None:
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


def _json(tool: ReviewedTool) -> dict[str, Any]:
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
